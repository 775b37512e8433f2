"""Records of answers that were imported, and the slots of a manifest that they may fill."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repro import fileio
from repro.environment.machine import Cpu, Environment
from repro.errors import BadInputError, Problem
from repro.schema import catalog, slots
from repro.schema.jobs import ModelJob, Tier
from repro.schema.kinds.imported import UNKNOWN, ImportedJob
from repro.schema.manifest import Manifest
from repro.store import keys, run_file
from repro.store.commitments import commitments_of
from repro.store.record import ArrayFile, Record
from repro.store.run_file import RunFile
from repro.text import first_few

if TYPE_CHECKING:
    from repro.store.store import Arrays


@dataclass(frozen=True)
class Draft:
    """A record that passed every check and is not written."""

    record: Record
    arrays: "Arrays"

    def finished(self, file: ArrayFile) -> Record:
        """The record with its arrays' digest and its own."""
        draft = self.record.model_copy(update={"arrays": file})
        return draft.model_copy(update={"digest": draft.digest_of_content()})


def make(
    job: ImportedJob,
    files: Sequence[Path],
    packages: Mapping[str, str],
    values: Mapping[str, float | int | str],
) -> Record:
    """A record that says of machine, code and path that nobody knows.

    Args:
        job: What is said.
        files: Where the answers come from.
        packages: Versions that are said.
        values: Numbers for people.
    """
    names = [path.name for path in files]
    named = {
        path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}": path
        for path in files
    }
    draft = Record(
        schema_version=1,
        key="0" * 64,
        job=job,
        inputs={name: fileio.digest_of_file(path) for name, path in named.items()},
        code={},
        environment=Environment(
            python=UNKNOWN,
            implementation=UNKNOWN,
            platform=UNKNOWN,
            cpu=Cpu(model=UNKNOWN, vendor="", machine=UNKNOWN, level=UNKNOWN, threads=0),
            ram=0,
            gpus=(),
            cuda=None,
            packages=dict(packages),
            flags={},
            drift=(),
        ),
        path={},
        values=dict(values),
        arrays=ArrayFile(name="arrays.safetensors", sha256="0" * 64, size=0),
        files={},
        warnings=(f"imported, so known before it was claimed: {job.by} ran it ({job.source})",),
        started=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        digest="0" * 64,
    )
    return draft.model_copy(update={"key": keys.key_of(draft)})


def fill_slots(
    claimed: Manifest, file: Path, tier: Tier, records: Sequence[Record], root: Path
) -> RunFile:
    """A manifest's run file, with each record in the first free slot that it does not contradict.

    Args:
        claimed: The manifest.
        file: Its file, as it was given.
        tier: Whose slots.
        records: Imported ones.
        root: Results folder; what its run file has already is kept.

    Raises:
        BadInputError: if a record fits no free slot, or the claims were changed since.
    """
    asked = slots.slots(claimed, tier, catalog.checkpoints())
    path = run_file.path_of(root, claimed.id, tier)
    before = run_file.load(path) if path.exists() else None
    committed = commitments_of(claimed)
    if before and before.committed != committed:
        message = f"{path}: found claims that were changed since, expected another --out for them"
        raise BadInputError(message)
    filled = dict(before.jobs) if before else {}
    by = dict(before.imported) if before else {}
    problems = []
    for record in records:
        job = record.job
        assert isinstance(job, ImportedJob)  # noqa: S101  # of `make`
        if record.key in filled.values():
            continue
        why = {slot.id: job.why_not(slot.job) for slot in asked if isinstance(slot.job, ModelJob)}
        free = [name for name, reason in why.items() if not reason and name not in filled]
        if free:
            filled[free[0]], by[free[0]] = record.key, job.by
            continue
        near = first_few(list(dict.fromkeys(filter(None, why.values()))))
        found = f"no free slot for {job.task} of {job.checkpoint} ({near or 'all are filled'})"
        expected = f"what {claimed.id} asks for at tier {tier}"
        problems.append(Problem(str(file), found, expected))
    if problems:
        raise BadInputError("cannot count for the manifest; nothing was written", problems)
    missing = {slot.id: slot.reason or "not imported" for slot in asked if slot.id not in filled}
    if before:
        return before.model_copy(update={"jobs": filled, "missing": missing, "imported": by})
    return RunFile(
        schema_version=2,
        manifest=claimed.id,
        file=str(file),
        tier=tier,
        started=dt.datetime.now(dt.UTC).isoformat(),
        committed=committed,
        substitutions={},
        jobs=filled,
        missing=missing,
        imported=by,
    )
