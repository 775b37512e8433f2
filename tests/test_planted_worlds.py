"""Planted papers whose numbers are random: how often `repro verify` says a wrong word, or none.

Oracle: `planted`, which imports nothing of `verify`. A wrong word is `contradicted` of what is true
of the authors' process, `reproduced` of what is false, and either of what is coin tosses alone.
Seeds are fixed.
"""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest
from planted import entries, tuned, worlds
from planted.claims import Paper
from planted.flips import World
from planted.worlds import Table

from repro.schema.catalog import Metric
from repro.schema.evaluation import looks
from repro.schema.evaluation.looks import Looks
from repro.schema.finding import Finding
from repro.schema.groups import Slot
from repro.schema.jobs import ModelJob, TuningJob
from repro.schema.manifest import Manifest
from repro.schema.slots import slots
from repro.store.commitments import commitments_of
from repro.store.record import ArrayFile, Record
from repro.store.run_file import RunFile
from repro.store.store import MODEL, Store
from verify.evidence import Evidence
from verify.judge import judge
from verify.records.checked_record import CheckedRecord

PAPERS, MORE = 59, 93
"""Of each world: the fewest of which none wrong, or one, puts the limit at RATE."""
RATE = 0.05

pytestmark = pytest.mark.timeout(600)

# -----------------------------------------------------------------------------
# Judging


def run_of(claimed: Manifest, jobs: Mapping[str, str]) -> RunFile:
    return RunFile(
        schema_version=2,
        manifest=claimed.id,
        file=f"{claimed.id}.json",
        tier="full",
        started="2026-01-01T00:00:00+00:00",
        substitutions={},
        jobs=dict(jobs),
        missing={},
        committed=commitments_of(claimed),
    )


class DrawnRecord(CheckedRecord):
    """A record whose letters and accuracies are found once: thousands of them are judged here."""

    @property
    def answers_alone(self) -> bool:
        """Leaves out the ties, which are counted to be shown and decide nothing: half the time."""
        return True

    def predicted(self, shots: int) -> Any:
        return self._once(f"predicted {shots}", lambda: self._letters(shots))

    def right(self, metric: Metric, shots: int) -> Any:
        if isinstance(self.arrays, worlds.LazyArrays):
            return self.arrays.found_right(shots)
        return super().right(metric, shots)

    def gold(self, shots: int) -> Any:
        return self._once(
            f"gold {shots}", lambda: super(DrawnRecord, self).gold(shots).astype(np.int8)
        )

    def accuracies(self) -> list[float]:
        return self._once("accuracies", super().accuracies)

    def _letters(self, shots: int) -> Any:
        if isinstance(self.arrays, worlds.LazyArrays):
            return self.arrays.letters(shots)
        return super().predicted(shots).astype(np.int8)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if (known := f"once {name}") not in self.__dict__:
            self.__dict__[known] = make()
        return self.__dict__[known]


class WholeRecord(DrawnRecord):
    """The same with everything that is shown."""

    answers_alone = CheckedRecord.answers_alone
    right = CheckedRecord.right


class Bench:
    """Judges papers with the same jobs, whose records differ in nothing but their arrays.

    That such records pass every check is tested once, from files.
    """

    def __init__(self, claimed: Manifest, names: tuple[str, ...], datasets: Any) -> None:
        known = {name: entries.checkpoint(name) for name in names}
        self.slots = slots(claimed, "full", known)
        self.keys = {each.id: f"{place:064x}" for place, each in enumerate(self.slots)}
        self.records = {each.id: self._record(each) for each in self.slots}
        run = run_of(claimed, self.keys)
        self.evidence = Evidence(claimed, run, Store(Path()), known, datasets)

    def _record(self, slot: Slot) -> Record:
        key = self.keys[slot.id]
        return Record(
            schema_version=1,
            key=key,
            job=slot.job,
            inputs=entries.inputs(str(slot.checkpoint)),
            code={},
            environment=records.this_machine(),
            path=entries.path(slot.job),
            values=tuned.tuning(slot.job)[1] if isinstance(slot.job, TuningJob) else {},
            arrays=ArrayFile(name="arrays.safetensors", sha256=key, size=1),
            files={},
            warnings=(),
            started="2026-01-01T00:00:00+00:00",
            seconds=1.0,
            digest="0" * 64,
        )

    def judged(
        self,
        claimed: Manifest,
        arrays: Mapping[str, Any],
        kind: type[DrawnRecord] = DrawnRecord,
        found: Looks = (),
    ) -> tuple[Finding, ...]:
        """Findings of a paper, from arrays by slot."""
        evidence = copy.copy(self.evidence)
        run = run_of(claimed, self.keys).model_copy(update={"looks": found})
        evidence.manifest, evidence.run = claimed, run
        loaded: dict[str, CheckedRecord] = {}
        for each in self.slots:  # tunings come before what is asked of them
            of = None
            if isinstance(each.job, ModelJob) and each.job.tuned:
                of = loaded[each.id.removesuffix(f".{each.job.task}.{each.job.dtype}")]
            loaded[each.id] = kind(each, self.records[each.id], arrays[each.id], of)
        evidence._loaded = loaded
        return judge(claimed, evidence, {}).findings


class Drawn:
    """Papers of one world, drawn and judged."""

    def __init__(self, world: World) -> None:
        self.world = world
        names, data = world.checkpoints, {"mmlu": entries.mmlu(worlds.GOLD)}
        self.bench = Bench(manifest_of(worlds.draw(world, 0)), names, data)

    def __call__(
        self, seed: int, kind: type[DrawnRecord] = DrawnRecord
    ) -> tuple[Paper, tuple[Finding, ...]]:
        table = worlds.draw(self.world, seed)
        return table.paper, self.bench.judged(manifest_of(table), worlds.arrays_of(table), kind)


class DrawnLookByLook(Drawn):
    """The same, settings one after another until a look ends a claim."""

    def __call__(self, seed: int) -> tuple[Paper, tuple[Finding, ...]]:
        table = worlds.draw(self.world, seed)
        claimed = manifest_of(table)
        found = looks.planned(claimed, "full")
        return table.paper, self.bench.judged(claimed, worlds.arrays_of(table), found=found)


def manifest_of(table: Table) -> Manifest:
    return table.paper.manifest("drawn", **worlds.parts(table.world))


class DrawnTuned:
    """Papers of tuned models, drawn and judged."""

    def __init__(self) -> None:
        claimed = tuned.draw(0)[0].manifest("tuned", **tuned.parts())
        self.bench = Bench(claimed, (tuned.MAMBA, tuned.PYTHIA), tuned.datasets())

    def __call__(
        self, seed: int, kind: type[DrawnRecord] = DrawnRecord
    ) -> tuple[Paper, tuple[Finding, ...]]:
        paper, ours = tuned.draw(seed)
        claimed = paper.manifest("tuned", **tuned.parts())
        arrays = tuned.arrays_by_slot(self.bench.slots, ours)
        return paper, self.bench.judged(claimed, arrays, kind)


def most(hits: int, of: int) -> float:
    """Upper limit of a share at 95 % (Clopper & Pearson 1934)."""
    from scipy.stats import beta

    return float(beta.ppf(0.95, hits + 1, of - hits)) if hits < of else 1.0


def word(found: Finding) -> str:
    """What is said of a claim; where open factors keep it from an outcome, to which it points."""
    where = found.direction
    if found.outcome == "inconclusive" and where and where.code == "points-to":
        return str(where.values["outcome"])
    return found.outcome


Draw = Callable[[int], tuple[Paper, tuple[Finding, ...]]]


def check(drawn: Draw, papers: int = PAPERS) -> Counter[str]:
    """Hold the wrong words of some papers to their limit; every word by what is true."""
    wrong, which, words = 0, Counter[str](), Counter[str]()
    for seed in range(papers):
        paper, findings = drawn(seed)
        expected = paper.expected()
        said = [(word(found), expected[found.claim]) for found in findings]
        bad = [f"{one} of {it.id}, {it.truth}" for one, it in said if one not in it.outcomes]
        wrong += bool(bad)
        which.update(bad)
        words.update(f"{it.truth}: {one}" for one, it in said)
    limit = most(wrong, papers)
    assert limit <= RATE, f"{wrong} of {papers} papers, limit {limit:.2f}; {which.most_common(9)}"
    return words


# -----------------------------------------------------------------------------
# Wrong words


@pytest.mark.parametrize("world", worlds.WORLDS, ids=lambda world: world.name.replace(" ", "-"))
def test_wrong_words_are_rare_in_every_world(world: World) -> None:
    """More are drawn where answers change together at all shots, which no rule here knows of."""
    check(Drawn(world), MORE if world.alike else PAPERS)


def test_wrong_words_are_rare_where_a_run_stops_when_decided() -> None:
    """Where settings are rare, of which an early look has fewer; and early looks do decide.

    A table of three models: sentences are in the table of docs/calibration.md.
    """
    few = {"models": 3, "leans": (0.3, 0.5, 0.15), "false": frozenset({2})}
    drawn, ended = DrawnLookByLook(World("rare settings", rare=0.1, **few)), Counter[str]()

    def counted(seed: int) -> tuple[Paper, tuple[Finding, ...]]:
        paper, findings = drawn(seed)
        ended.update(f"{each.outcome} {each.causes[-1].code}" for each in findings)
        return paper, findings

    check(counted)
    assert ended["reproduced decided-at-look"] > ended["reproduced last-look"], ended
    assert ended["inconclusive given-up-at-look"], ended
    assert ended["contradicted last-look"], ended
    assert not ended["contradicted decided-at-look"], ended


def test_wrong_words_are_rare_of_tuned_models() -> None:
    """And there are words: nothing is near a border, so that most claims are told."""
    words = check(DrawnTuned())
    assert words["true: reproduced"] > words["true: inconclusive"], words
    assert words["false: contradicted"] > words["false: inconclusive"], words


def test_the_limit_is_that_of_clopper_and_pearson() -> None:
    """Of 59 papers without a wrong word, 0.95 = 1 - (1 - p)^59; of 58 it is not enough."""
    assert most(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert max(most(0, PAPERS), most(1, MORE)) <= RATE < min(most(0, 58), most(1, 92))


# -----------------------------------------------------------------------------
# The same from files


def save(store: Store, slot: Slot, arrays: Mapping[str, Any], made: Mapping[str, str]) -> str:
    """The record of one slot; `made` are weights of the tuning that it rests on."""
    assert slot.job
    here, read = records.this_machine(), entries.inputs(str(slot.checkpoint))
    read |= {f"{MODEL}/{name}": sha for name, sha in made.items()}
    more: dict[str, Any] = {"inputs": read, "values": tuned.values_of(slot.job, arrays)}
    if isinstance(slot.job, TuningJob):
        more["files"] = tuned.weights(slot.job)
    taken = entries.path(slot.job)

    def on_path(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["path"] = taken

    return records.save_record(store, slot.job, dict(arrays), here, on_path, **more)


@pytest.mark.parametrize("tied", [False, True])
def test_a_drawn_paper_is_judged_from_its_files_as_it_is_here(
    tmp_path: Path, *, tied: bool
) -> None:
    """One model, with all that a run writes down and all that is checked of it."""
    world = World("from files", models=1, leans=(0.3,), false=frozenset(), tied=tied)
    drawn, table, store = Drawn(world), worlds.draw(world, 0), Store(tmp_path)
    claimed, arrays = manifest_of(table), worlds.arrays_of(table)
    jobs = {each.id: save(store, each, arrays[each.id], {}) for each in drawn.bench.slots}
    known = drawn.bench.evidence
    evidence = Evidence(claimed, run_of(claimed, jobs), store, known.checkpoints, known.datasets)
    compare(judge(claimed, evidence, {}).findings, drawn)


def test_tuned_models_are_judged_from_their_files_as_they_are_here(tmp_path: Path) -> None:
    drawn, store, (paper, ours) = DrawnTuned(), Store(tmp_path), tuned.draw(0)
    claimed, jobs = paper.manifest("tuned", **tuned.parts()), dict[str, str]()
    arrays = tuned.arrays_by_slot(drawn.bench.slots, ours)
    for each in drawn.bench.slots:
        made = tuned.weights_of(each.job)
        jobs[each.id] = save(store, each, arrays[each.id], made)
    known = drawn.bench.evidence
    evidence = Evidence(claimed, run_of(claimed, jobs), store, known.checkpoints, known.datasets)
    compare(judge(claimed, evidence, {}).findings, drawn)


def compare(written: tuple[Finding, ...], drawn: Drawn | DrawnTuned) -> None:
    """The same findings, but for the keys of their records; and the same words without the ties."""
    for one, other in zip(written, drawn(0, WholeRecord)[1], strict=True):
        assert one.records, one.reason
        assert one.model_copy(update={"records": ()}) == other.model_copy(update={"records": ()})
    shown = {"records": (), "estimates": ()}
    for one, other in zip(written, drawn(0)[1], strict=True):
        assert one.model_copy(update=shown) == other.model_copy(update=shown)


# -----------------------------------------------------------------------------
# Power: never deciding is no way to pass


def decided(world: World, papers: int, outcome: str) -> float:
    """Share of the cells of some papers with an outcome."""
    drawn = Drawn(world)
    found = [each for seed in range(papers) for each in drawn(seed)[1] if each.kind == "cell"]
    return float(np.mean([each.outcome == outcome for each in found]))


@pytest.mark.parametrize(("changes", "least"), [(10, 1.0), (80, 1.0), (631, 0.81), (1404, 0.27)])
def test_half_a_point_is_noticed(changes: int, least: float) -> None:
    """A paper of one number, half a point off, by changes of correctness."""
    world = World(
        "power",
        changes={"bfloat16": changes},
        models=1,
        leans=(0.3,),
        false=frozenset({0}),
    )
    share = decided(world, 100, "contradicted")
    assert share >= least, share


def test_a_true_number_that_can_be_decided_is_reproduced() -> None:
    """At a margin of a quarter of a point, and no changes beside what is lost for good."""
    none = frozenset[int]()
    world = World("decidable", changes={"bfloat16": 10}, models=1, leans=(0.5,), false=none)
    share = decided(world, 60, "reproduced")
    assert share >= 0.9, share


def test_what_is_far_apart_is_told_apart() -> None:
    """Orders of models more than a point apart, where changes are few."""
    drawn = Drawn(World("far apart", changes={"float16": 80}))
    told = Counter(
        (each.claim, each.outcome)
        for seed in range(10)
        for each in drawn(seed)[1]
        if each.claim.startswith("at-most")
    )
    assert told["at-most.true", "reproduced"] >= 9, told
    assert told["at-most.false", "contradicted"] >= 9, told
