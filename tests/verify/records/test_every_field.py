"""Every field of a record, altered in turn with its digest mended: what verify notices.

docs/auditor.md lists what nothing notices; the list is read here, and has to be that, exactly.
"""

import fnmatch
import json
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import made_up_records as records
import numpy as np
import pytest
from pydantic import ValidationError

from repro import paths
from repro.schema import catalog, validate
from repro.schema.jobs import KINDS, EvaluateJob
from repro.store import run_file
from repro.store.record import Record
from repro.store.store import Store
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence

DOCUMENT = paths.ROOT / "docs" / "auditor.md"
BEGIN, END = "<!-- not noticed -->", "<!-- /not noticed -->"
COMMITTED = {
    "weight_tying": ("cpu", "theorem3.full"),
    "stability": ("cpu", "v3.full"),
    "proof": ("coq", "proofs.full"),
    "tuning": ("h100", "theorem3.full"),
    "throughput": ("h200-pinned", "figure2.full"),
}
"""Kind of job to committed evidence of it."""


def listed() -> list[str]:
    """Fields that the document says nothing notices; a star stands for any name."""
    text = DOCUMENT.read_text(encoding="utf-8")
    part = text[text.index(BEGIN) : text.index(END)]
    return re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (.*?) \|", part, re.MULTILINE)))


def leaves(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = data.items() if isinstance(data, dict) else enumerate(data)
    for name, value in inside:
        if isinstance(value, dict | list) and value:
            yield from leaves(value, (*place, name))
        else:
            yield (*place, name)


def altered(value: Any) -> Any:
    """Another value of the same kind, which the schema takes wherever it can."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return 2 * value + 1
    if value is None or isinstance(value, dict | list):
        return value
    if re.fullmatch(r"[0-9a-f]{64}", value):
        return "e" * 64
    if re.match(r"2\d{3}-\d\d-\d\dT", value):
        return f"2077{value[4:]}"
    return f"{value}-altered"


def unnoticed(evidence: Evidence, slot: str) -> set[str]:
    """Fields of a slot's record whose change leaves it as sound as it was."""
    key = evidence.run.jobs[slot]
    path = evidence.store.folder(key) / "record.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    found = set()
    libraries = KINDS[whole["job"]["kind"]].LIBRARIES
    others = [name for name in whole["environment"]["packages"] if name not in libraries]
    for place in leaves(whole):
        if place[:2] == ("environment", "packages") and place[2] in others[1:]:
            continue  # one of them speaks for all
        name = ".".join("*" if isinstance(step, int) else step for step in place)
        if place == ("digest",):
            continue
        changed = json.loads(json.dumps(whole))
        at = changed
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = altered(at[place[-1]])
        if at[place[-1]] == [] or at[place[-1]] == {}:
            at[place[-1]] = ["altered"] if isinstance(at[place[-1]], list) else {"a": "e" * 64}
        try:
            draft = Record.model_validate_json(json.dumps(changed), strict=True)
        except ValidationError:
            continue
        mended = draft.model_copy(update={"digest": draft.digest_of_content()})
        path.write_text(mended.model_dump_json())
        again = Evidence(
            evidence.manifest, evidence.run, evidence.store, evidence.checkpoints, evidence.datasets
        )
        try:
            again.get(slot)
        except (InvalidError, NotRunError):
            continue
        if changed != whole:
            found.add(name)
    path.write_text(json.dumps(whole))
    return found


def evaluation(folder: Path) -> tuple[Evidence, str]:
    """A made-up record of an evaluation that says all that a real one does."""

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        assert isinstance(job, EvaluateJob)
        fields["path"] |= {
            "arm": job.arm,
            "weights_dtype": job.dtype,
            "order": job.setting.order,
            "attention": "none",
            "mamba_scan": job.setting.mamba_path,
            "batch_size": str(job.setting.batch_size),
            "max_length": "20",
            "threads": "1",
        }
        for shots in job.shots:
            tokens = np.arange(65) % 30
            arrays[f"shots{shots}/tokens"] = tokens
            fields["values"] |= {
                f"shots{shots}/non_finite": 0,
                f"shots{shots}/truncated": int((tokens > 20).sum()),
                f"shots{shots}/tokens": int(np.minimum(tokens, 20).sum()),
                "questions": 65,
                "test_sha256": "4" * 64,
            }

    claimed = records.manifest()
    # Whatever is set here: a flag that can move a digit is part of the key.
    machine = records.this_machine().model_copy(update={"flags": {}})
    with mock.patch.object(records, "this_machine", return_value=machine):
        store, run = records.run(folder, claimed, "smoke", change)
    known = {"mmlu": records.dataset()}
    return Evidence(claimed, run, store, records.checkpoints(), known), "mamba-1.float16.batch-8"


def committed(kind: str, folder: Path) -> tuple[Evidence, str]:
    """One committed record of a kind, in a folder of its own."""
    where, name = COMMITTED[kind]
    run = run_file.load(paths.ROOT / "evidence" / where / "runs" / f"{name}.json")
    source = Store(paths.ROOT / "evidence" / where)
    slot, key = next(
        (slot, key) for slot, key in run.jobs.items() if source.load(key)[0].job.kind == kind
    )
    target = Store(folder).folder(key)
    target.mkdir(parents=True)
    for file in source.folder(key).iterdir():
        if file.is_file():
            (target / file.name).write_bytes(file.read_bytes())
    claimed = validate.load_manifest(paths.MANIFESTS / f"{run.manifest}.json")
    one = run.model_copy(update={"jobs": {slot: key}})
    return Evidence(
        claimed, one, Store(folder), catalog.checkpoints(), catalog.question_sets()
    ), slot


@cache
def found_in(kind: str) -> frozenset[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        evidence, slot = evaluation(folder) if kind == "evaluate" else committed(kind, folder)
        evidence.get(slot)  # sound before anything is altered
        return frozenset(unnoticed(evidence, slot))


@pytest.mark.parametrize("kind", ["evaluate", *COMMITTED])
def test_what_is_not_noticed_is_what_the_document_lists(kind: str) -> None:
    found, patterns = found_in(kind), listed()
    unlisted = {name for name in found if not any(fnmatch.fnmatch(name, e) for e in patterns)}
    assert not unlisted, "docs/auditor.md does not list them"


def test_nothing_is_listed_that_is_noticed() -> None:
    found = {name for kind in ("evaluate", *COMMITTED) for name in found_in(kind)}
    idle = [each for each in listed() if not fnmatch.filter(found, each)]
    assert not idle, "docs/auditor.md lists what verify notices"
