"""`run.json`: what was asked and what was claimed, written before the first job.

Margins, readings and settings are fixed here before any number is known. Whoever changes
them afterwards gets `invalid`, claim by claim, and not a verdict.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from repro import json_text
from repro import paths as bundle
from repro.errors import BadInputError, Problem, cannot_read
from repro.fileio import write_text
from repro.schema import paper, reading, validate
from repro.schema.base import Frozen, Sha256, Slug, UtcTime
from repro.schema.claims import AmbiguousClaim, Claim, ModelClaim, PageClaim, PlannedClaim
from repro.schema.evaluation import added_setting, looks
from repro.schema.jobs import Engine, Tier
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, UnbuiltMeasure
from repro.schema.page_claims import FactClaim
from repro.store import commitments
from repro.store.commitments import Commitments, of_version_1
from repro.text import visible


class DamagedRunError(BadInputError):
    """A run file that is none any more: its own run cannot be judged, and nothing else is lost."""


class RunFile(Frozen):
    """One `repro run` of one manifest at one tier."""

    schema_version: Literal[1, 2]
    """1: its commitments hold the words of claims too (`repro.store.commitments`)."""
    manifest: Slug
    file: str
    """The manifest's file as it was given, for manifests that are not the bundle's; as `load`
    gives it, where that file lies now."""
    tier: Tier
    engine: Engine = "lm-eval"
    """What evaluated."""
    started: UtcTime
    """Before the first job."""
    added: Annotated[dict[str, int | str], AfterValidator(added_setting.check)] = Field(
        default_factory=dict
    )
    """One more setting than the manifest has (`repro.schema.evaluation.added_setting`)."""
    committed: Commitments
    substitutions: dict[str, dict[str, Sha256]]
    """What took the place of a checkpoint or data set of the manifest: digests by file."""
    jobs: dict[str, Sha256]
    """Slot to job key, for every job that could be planned."""
    missing: dict[str, str]
    """Slot to reason, for every job that could not."""
    imported: dict[str, str] = Field(default_factory=dict)
    """Slots whose records somebody else measured, to who did; their records say the same."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Slot to reason, for every job that was not wanted; none of it hangs on what was measured, but
    for jobs that come after a look (`looks`)."""
    looks: tuple[tuple[Slug, ...], ...] = ()
    """The settings that each look adds, of a run that stops when decided; empty of any other."""


def path_of(out: Path, manifest: str, tier: str) -> Path:
    """Where the run file of a manifest and tier lies."""
    return out / "runs" / f"{manifest}.{tier}.json"


def paths(out: Path) -> list[Path]:
    """Every run file of a results folder, sorted; none where nothing was run.

    Raises:
        BadInputError: if the folder cannot be looked into.
    """
    try:
        return sorted(each for each in (out / "runs").iterdir() if each.suffix == ".json")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BadInputError(cannot_read(error.filename, error)) from error


def save(out: Path, run: RunFile) -> None:
    """Write it, whole."""
    write_text(path_of(out, run.manifest, run.tier), run.model_dump_json(indent=1) + "\n")


def load(path: Path) -> RunFile:
    """Read it, and look for the manifest that it names (see `_manifest_of`).

    Raises:
        DamagedRunError: if it is no run file, or that of another run.
        BadInputError: if it cannot be read, or another version of this tool wrote it.
    """
    try:
        run = json_text.load_model(path, RunFile.model_validate_json)
    except OSError as error:
        message = f"the run file {cannot_read(path, error)}"
        raise BadInputError(message) from error
    except ValueError as error:
        if (version := json_text.other_version(error)) is not None:
            problem = Problem(f"{path}: $.schema_version", str(version), "1 or 2")
            message = (
                f"{path} was written by another version of this tool, which can judge it; it is "
                "kept as it is"
            )
            raise BadInputError(message, [problem]) from error
        raise DamagedRunError(_how_to_remake(path), reading.problems_of(path, error)) from error
    name = f"{run.manifest}.{run.tier}.json"
    if path.name != name:  # a copy, which would count twice
        problem = Problem(str(path), f"the run of {run.manifest} at tier {run.tier}", name)
        raise DamagedRunError(_how_to_remake(path), [problem])
    return run.model_copy(update={"file": _manifest_of(run, path.parent.parent)})


def read(out: Path) -> tuple[dict[Path, RunFile], list[BadInputError]]:
    """Every run file of a results folder, and why others cannot be read: each costs its own run."""
    runs: dict[Path, RunFile] = {}
    unread = []
    for path in paths(out):
        try:
            runs[path] = load(path)
        except BadInputError as error:
            unread.append(error)
    return runs, unread


def earlier_run(path: Path) -> RunFile | None:
    """The run file that a run finds; None where there is none, or a damaged one to be replaced.

    Raises:
        BadInputError: if it cannot be read.
    """
    try:
        return load(path) if path.exists() else None
    except DamagedRunError:
        return None


def _how_to_remake(path: Path) -> str:
    """What a damaged run file costs, and how it is made again."""
    name, _, tier = path.stem.rpartition(".")
    known = (bundle.bundle().manifests / f"{name}.json").is_file()
    out = path.parent.parent
    command = f"repro run {name if known else 'MANIFEST'} --tier {tier} --out {out}"
    return (
        f"{path} is damaged; its records are kept: `{command}`, with the options that it had "
        "(--substitute, --data, --set, --engine), writes it anew and reuses them"
    )


def _manifest_of(run: RunFile, out: Path) -> str:
    """Where the manifest of a run lies now.

    A run is started in one folder and judged from another, and its manifest was named from the
    first. Results mostly lie in or below that one, so the name is tried from the results folder
    upwards before the current folder. A packet has the manifest with it. Which claims were meant
    is never in doubt: another file of the name has other digests than those committed.

    Returns:
        The first file that is there; the name as it was given if there is none.
    """
    here = Path(os.path.abspath(out))  # noqa: PTH100  # a link lies where its user works
    packed = here.parent / MANIFESTS / f"{run.manifest}.json"
    named = [folder / run.file for folder in (here, *here.parents)]
    # A packet that is being made has no list of digests, and is no packet yet.
    places = [packed, *named] if is_packet(here.parent) else [*named, packed]
    # `Path.is_file` raises where a name is too long to be one.
    found = (str(each) for each in places if os.path.isfile(each))  # noqa: PTH113
    return next(found, run.file)


def changes(run: RunFile, manifest: Manifest) -> dict[str, str]:
    """What was changed since the run, by claim; see `repro.store.commitments.changes`."""
    if run.looks and run.looks != looks.planned(manifest, run.tier):
        return {"": "the looks of the run are not those that follow from its manifest"}
    if run.schema_version > 1:
        return commitments.changes(run.committed, manifest)
    changed = commitments.changes(of_version_1(run.committed, manifest), manifest)
    known = bundle.bundle().catalog / commitments.VERSION_1
    if changed and not known.is_file():
        message = (
            f"{_name(run)} is of version 1, whose digests {known} explains: "
            "found no such file, expected the bundle of the paper; name it with --bundle"
        )
        raise BadInputError(message)
    return {name: f"{what} (its run file is of version 1)" for name, what in changed.items()}


def late_changes(run: RunFile, manifest: Manifest) -> dict[str, str]:
    """Those of `changes` by which records that are there may not be judged.

    A claim that was added and that no record bears on has nothing to be committed in advance of.
    """
    claims = {each.id: each for each in manifest.claims}
    return {
        name: what
        for name, what in changes(run, manifest).items()
        if name not in claims
        or name in run.committed.claims
        or not _needs_no_record(claims[name], claims)
    }


def _needs_no_record(claim: Claim, claims: Mapping[str, Claim]) -> bool:
    """Whether printed values or pinned code decide a claim, or nothing can yet."""
    if isinstance(claim, ModelClaim):
        return claim.basis == "printed"
    if isinstance(claim, AmbiguousClaim):
        return all(_needs_no_record(claims[name], claims) for name in claim.readings)
    if isinstance(claim, CellClaim):
        return isinstance(claim.measure, UnbuiltMeasure)
    return isinstance(claim, PageClaim | FactClaim | PlannedClaim)


def manifest_of(run: RunFile) -> Manifest:
    """The bundle's manifest of a run's name, else the one packed with it or the user's file.

    It has the setting that the run added.

    Raises:
        BadInputError: if there is none, or it cannot be used, or is of another name.
        DamagedRunError: if the manifest takes no such setting.
    """
    bundled = bundle.bundle().manifests / f"{run.manifest}.json"
    if not bundled.is_file() and not os.path.isfile(run.file):  # noqa: PTH113  # as in `_manifest_of`
        message = (
            f"{_name(run)}: found no file {visible(run.file)}, the manifest "
            "of that run, in the results folder, in one above it or here; start this command in "
            "the folder where `repro run` was started, or put the file there"
        )
        raise BadInputError(message)
    found = validate.load_manifest(bundled if bundled.is_file() else Path(run.file))
    if found.id != run.manifest:  # whose verdict would stand for this run
        problem = Problem(f"{_name(run)}: $.file", f"{run.file}, {found.id}", run.manifest)
        raise BadInputError(f"{_name(run)} names the file of another manifest", [problem])
    try:
        return added_setting.with_setting(found, run.added)
    except BadInputError as error:
        (why,) = error.problems
        said = f"{added_setting.in_words(run.added)}: {why.found}"
        message = (
            f"{_name(run)} is damaged, or {found.id} was changed after the run; its records are "
            "kept: `repro run`, with the --set that it had, writes it anew and reuses them"
        )
        problem = Problem(f"{_name(run)}: $.added", said, f"{why.expected}, as `--set` takes it")
        raise DamagedRunError(message, [problem]) from error


def _name(run: RunFile) -> str:
    return f"runs/{run.manifest}.{run.tier}.json"


def folders_of(given: Sequence[Path]) -> list[Path]:
    """Results folders and packets; a folder of results folders (`evidence`) stands for them."""
    found: list[Path] = []
    for folder in given:
        whole = (folder / "runs").is_dir() or is_packet(folder)
        below = [] if whole else results_below(folder)
        found += below or [folder]
    return found


SUMS = "SHA256SUMS"


MANIFESTS = "manifests"


_RESULTS = "results"


def place_of(number: int) -> str:
    """Where the results folder of a number, from 1, lies in a packet."""
    return _RESULTS if number == 1 else f"{_RESULTS}-{number}"


def is_packet(folder: Path) -> bool:
    """Whether `repro export` made this folder."""
    return (folder / SUMS).is_file()


def stands_alone(folder: Path) -> bool:
    """Whether a folder is a packet that is judged by its own manifests and catalog.

    One about the paper of the bundle at hand is judged by that, which whoever made the packet
    could not change; one from before packets had a catalog needs a bundle.

    Raises:
        BadInputError: if a `paper.json` cannot be used.
    """
    if not is_packet(folder) or not (folder / "catalog").is_dir():
        return False
    about, here = paper.load(folder / bundle.PAPER), paper.load()
    return about is None or here is None or about.id != here.id


def results_of(folder: Path) -> list[Path]:
    """The results folders of a packet; of any other folder itself."""
    if not is_packet(folder):
        return [folder]
    numbers = range(1, 1 + sum(1 for _ in folder.glob(f"{_RESULTS}*")))
    return [folder / place_of(number) for number in numbers]


def results_below(folder: Path) -> list[Path]:
    """Packets and results folders just below a folder."""
    below = sorted(folder.iterdir()) if folder.is_dir() else []
    return [each for each in below if is_packet(each) or (each / "runs").is_dir()]
