"""What a page shows of runs: each judged as `repro verify` does it, and what its records hold.

Only records that pass every check of the verifier are looked at.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from repro.coverage import coverage
from repro.environment import pins
from repro.errors import BadInputError
from repro.report import arrays as report_arrays
from repro.report.view import Machine, Run, Seen
from repro.schema import catalog, validate
from repro.store import contents, run_file
from repro.store.record import Record
from repro.store.run_file import RunFile, manifest_of
from repro.store.store import Store
from verify.decidable import undecidable  # `repro` meets `verify` only in its commands
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence
from verify.judge import judge
from verify.paper import paper_against_itself
from verify.records.loaded import Loaded


def gather(folders: Sequence[Path]) -> Seen:
    """Judge every run in some results folders and look into its records."""
    bundled = validate.load_manifests([])
    claimed = {each.id: each for each in bundled}
    runs: list[Run] = []
    records: dict[str, Record] = {}
    arrays = report_arrays.Found()
    checkpoints, asked, pinned = catalog.checkpoints(), catalog.asked(), pins.versions()
    unread: list[BadInputError] = []
    for folder, run in _runs(folders, unread):
        try:
            claimed[run.manifest] = manifest_of(run)
        except BadInputError as error:
            unread.append(error)
            continue
        evidence = Evidence(claimed[run.manifest], run, Store(folder), checkpoints, asked)
        verdict = judge(claimed[run.manifest], evidence, pinned)
        verdict = verdict.also(contents.orphans(evidence.store))
        loaded = list(_loaded(evidence))
        records |= {each.record.key: each.record for each in loaded}
        arrays.look_at(loaded)
        runs.append(Run(str(folder), run.started, verdict, len(loaded), len(evidence.slots)))
    every = tuple(claimed[name] for name in sorted(claimed))
    return Seen(
        manifests=every,
        page=tuple(paper_against_itself(each) for each in every),
        coverage=coverage.tally(coverage.load(), every),
        undecidable={each.id: undecidable(each, each.tiers()[-1], asked) for each in every},
        runs=tuple(runs),
        machines=_machines(list(records.values())),
        pairs=arrays.pairs(),
        tunings=arrays.tunings(),
        timings=arrays.timings(),
        envelopes=arrays.envelopes(),
        unread=tuple(dict.fromkeys(map(str, unread))),
    )


def _runs(folders: Sequence[Path], unread: list[BadInputError]) -> Iterator[tuple[Path, RunFile]]:
    for folder in folders:
        runs, damaged = run_file.read(folder)
        unread += damaged
        yield from ((folder, run) for run in runs.values())


def _loaded(evidence: Evidence) -> Iterator[Loaded]:
    """What passed every check; findings say what did not, and why."""
    for slot in evidence.slots:
        try:
            yield evidence.get(slot)
        except (InvalidError, NotRunError):
            continue


def _machines(records: Sequence[Record]) -> tuple[Machine, ...]:
    """Environments of some records, those that are the same taken together."""
    found: dict[tuple[object, ...], Machine] = {}
    for record in records:
        seen = record.environment
        at = (seen.hardware_class, seen.python, seen.platform, seen.drift)
        before = found[at].records if at in found else 0
        found[at] = Machine(seen.hardware_class, seen.python, seen.platform, before + 1, seen.drift)
    return tuple(sorted(found.values(), key=lambda each: (each.hardware, each.python)))
