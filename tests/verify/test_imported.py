"""Records of answers that were imported, among those of a run.

Oracle: the same run with its own records, which reproduces its claims or contradicts them.
"""

from pathlib import Path
from typing import Any

import made_up_records as made_up
import numpy as np
import pytest
from made_up_worlds import BOTH, named, table, wobbling, world

from repro.environment import machine
from repro.schema.causes import cause
from repro.schema.finding import Finding
from repro.schema.jobs import EvaluateJob
from repro.schema.kinds.imported import SETTINGS, ImportedJob
from repro.store import imported
from repro.store.record import Record
from repro.store.run_file import RunFile
from repro.store.store import Store
from verify import paired
from verify.evidence import Evidence
from verify.judge import judge

PINS = {"torch": machine.capture(["torch"]).packages["torch"]}
SLOT = "mamba-1.float16.batch-8"


def import_of(record: Record, **changes: Any) -> ImportedJob:
    """What somebody says who knows everything that can be known."""
    job = record.job
    assert isinstance(job, EvaluateJob)
    fields: dict[str, Any] = {
        "kind": "imported",
        "by": "A. Reader",
        "source": "CSV",
        "checkpoint": job.checkpoint,
        "dtype": job.dtype,
        "arm": job.arm,
        "task": job.task,
        "subjects": job.subjects,
        "questions": None,
        "seed": "unknown",
        "shots": job.shots,
        "setting": {name: str(getattr(job.setting, name)) for name in SETTINGS},
    }
    return ImportedJob.model_validate(fields | changes)


def replaced(
    root: Path,
    store: Store,
    run: RunFile,
    slot: str = SLOT,
    arrays: dict[str, Any] | None = None,
    **changes: Any,
) -> RunFile:
    """The same run with an import in the place of one record."""
    record, measured = store.load(run.jobs[slot])
    source = root / f"{slot}.csv"
    source.write_text(str(changes))
    made = imported.make(import_of(record, **changes), [source], PINS, {})
    several = dict(measured if arrays is None else arrays)
    values = {
        f"shots{shots}/accuracy": float(
            np.mean(several[f"shots{shots}/prediction"] == several[f"shots{shots}/gold"])
        )
        for shots in made_up.SHOTS
    }
    if "shots0/log_likelihood" in several:
        values = made_up.values_of(several)  # type: ignore[assignment]
    draft = imported.Draft(made.model_copy(update={"values": values}), several)
    key = store.save(draft.arrays, draft.finished).key
    return run.model_copy(update={"jobs": {**run.jobs, slot: key}})


def judged(root: Path, printed: str, slots: tuple[str, ...], **changes: Any) -> Finding:
    """The first cell of a run that loses 20 points of every model."""
    texts = {"mamba-1": printed, "phi-1": "20.0"}
    claimed, evidence = world(
        root, wobbling({"mamba-1": 13, "phi-1": 13}), **table(texts, margin="16")
    )
    run = evidence.run
    for slot in slots:
        run = replaced(root, evidence.store, run, slot, **changes)
    found = Evidence(claimed, run, evidence.store, evidence.checkpoints, evidence.datasets)
    return named(judge(claimed, found, PINS), BOTH[0])


@pytest.mark.parametrize(("printed", "outcome"), [("20.0", "reproduced"), ("60.0", "contradicted")])
def test_one_import_keeps_a_claim_open_and_shows_where_it_points(
    tmp_path: Path, printed: str, outcome: str
) -> None:
    own = judged(tmp_path / "a", printed, ())
    found = judged(tmp_path / "b", printed, (SLOT,))
    assert own.outcome == outcome
    assert found.outcome == "inconclusive"
    assert found.direction == cause("points-to", outcome=outcome)
    assert found.measured == own.measured
    unknown = "weights by digest, machine, code"
    assert found.causes[0] == cause("imported", by="A. Reader", unknown=unknown)
    assert not [each for each in found.causes if each.code == "drift"]
    open_ = judged(tmp_path / "c", printed, (SLOT,), arm="unknown", dtype="unknown")
    assert open_.causes[0].values["unknown"] == f"dtype, arm, {unknown}"
    assert open_.outcome == "inconclusive"


def test_answers_alone_are_judged_as_far_as_they_go(tmp_path: Path) -> None:
    own = judged(tmp_path / "a", "20.0", ())
    claimed, evidence = world(
        tmp_path / "b",
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "20.0", "phi-1": "20.0"}, margin="16"),
    )
    _, arrays = evidence.store.load(evidence.run.jobs[SLOT])
    alone = {name: each for name, each in arrays.items() if "log_likelihood" not in name}
    run = replaced(tmp_path, evidence.store, evidence.run, arrays=alone)
    found = Evidence(claimed, run, evidence.store, evidence.checkpoints, evidence.datasets)
    finding = named(judge(claimed, found, PINS), BOTH[0])
    assert (finding.outcome, finding.measured) == ("inconclusive", own.measured)
    assert "exact ties, all shots" in made_up.numbers(own)
    assert "exact ties, all shots" not in made_up.numbers(finding)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"checkpoint": "phi-1"}, "other checkpoint"),
        ({"dtype": "float32"}, "dtype float32, asked is float16"),
        ({"setting": {**dict.fromkeys(SETTINGS, "unknown"), "batch_size": "9"}}, "batch_size 9"),
        ({"arm": "autocast"}, "arm autocast, asked is weight-cast"),
    ],
)
def test_what_contradicts_its_slot_is_refused(
    changes: dict[str, Any], why: str, tmp_path: Path
) -> None:
    found = judged(tmp_path, "20.0", (SLOT,), **changes)
    assert found.outcome == "invalid"
    assert "an import, is not what the manifest asks for" in found.reason
    assert why in found.reason


def test_an_import_that_says_what_it_cannot_know_is_refused(tmp_path: Path) -> None:
    claimed, evidence = world(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "20.0", "phi-1": "20.0"}, margin="16"),
    )
    run = replaced(tmp_path, evidence.store, evidence.run)
    record, arrays = evidence.store.load(run.jobs[SLOT])
    for forged in ({"path": {"attention": "eager"}}, {"environment": made_up.this_machine()}):
        draft = imported.Draft(record.model_copy(update=forged), arrays)
        evidence.store.save(arrays, draft.finished)
        found = Evidence(claimed, run, evidence.store, evidence.checkpoints, evidence.datasets)
        finding = named(judge(claimed, found, PINS), BOTH[0])
        assert finding.outcome == "invalid"
        assert "says on which machine, by which code or path it was made" in finding.reason


def test_other_gold_and_other_predictions_are_refused(tmp_path: Path) -> None:
    claimed, evidence = world(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "20.0", "phi-1": "20.0"}, margin="16"),
    )
    _, arrays = evidence.store.load(evidence.run.jobs[SLOT])
    for name, why in (("gold", "gold answers of"), ("prediction", "do not follow")):
        changed = {key: each.copy() for key, each in arrays.items()}
        changed[f"shots0/{name}"][0] = (changed[f"shots0/{name}"][0] + 1) % 4
        run = replaced(tmp_path, evidence.store, evidence.run, arrays=changed)
        found = Evidence(claimed, run, evidence.store, evidence.checkpoints, evidence.datasets)
        finding = named(judge(claimed, found, PINS), BOTH[0])
        assert finding.outcome == "invalid"
        assert why in finding.reason


def test_the_numbers_of_another_setting_are_no_further_draw(tmp_path: Path) -> None:
    claimed, evidence = world(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "20.0", "phi-1": "20.0"}, margin="16"),
    )
    run = evidence.run
    for dtype in ("float32", "float16"):  # an import lacks arrays that our own records have
        _, arrays = evidence.store.load(run.jobs[f"mamba-1.{dtype}.batch-16"])
        fewer = {name: each for name, each in arrays.items() if name != "left_out"}
        run = replaced(tmp_path, evidence.store, run, f"mamba-1.{dtype}.batch-8", dict(fewer))
    record, arrays = evidence.store.load(run.jobs["mamba-1.float16.batch-16"])
    more = {**arrays, "shots0/tokens": np.ones(65, dtype=np.int64)}
    draft = imported.Draft(record, more)
    evidence.store.save(more, draft.finished)
    found = Evidence(claimed, run, evidence.store, evidence.checkpoints, evidence.datasets)
    cell = next(each for each in claimed.claims if each.id == BOTH[0])
    cells = paired.pair_cells(claimed, [cell], found)  # type: ignore[list-item]
    assert (len(cells.rows), cells.repeated) == (6, 1)


def test_nobody_knows_its_kernels_and_it_is_no_copy_of_our_own_record(tmp_path: Path) -> None:
    claimed, evidence = world(
        tmp_path,
        wobbling({"mamba-1": 13, "phi-1": 13}),
        **table({"mamba-1": "20.0", "phi-1": "20.0"}, margin="16"),
    )
    other = "mamba-1.float16.batch-16"
    run = replaced(tmp_path, evidence.store, evidence.run)  # the same numbers as our own
    both = run.model_copy(update={"jobs": {**run.jobs, "again": evidence.run.jobs[SLOT]}})
    found = Evidence(claimed, both, evidence.store, evidence.checkpoints, evidence.datasets)
    one, two = found.get(SLOT), found.get(other)
    assert one.imported
    assert two.imported is None
    assert paired.on_other_kernels([[one], [two]], [1, 2]) == []


def test_numbers_of_another_dtype_are_a_copy_and_those_of_our_own_record_are_not(
    tmp_path: Path,
) -> None:
    claimed = made_up.manifest()
    store, run = made_up.run(tmp_path, claimed, "full")
    known, datasets = made_up.checkpoints(), {"mmlu": made_up.dataset()}

    def outcome(slot: str) -> Finding:
        """Of the first cell, with the arrays of a slot imported as those of another."""
        arrays = dict(store.load(run.jobs[slot])[1])
        changed = replaced(tmp_path, store, run, by=slot, arrays=arrays)
        # Our own record stays in the run, as another slot's.
        changed = changed.model_copy(update={"jobs": {**changed.jobs, "own": run.jobs[SLOT]}})
        return named(
            judge(claimed, Evidence(claimed, changed, store, known, datasets), PINS), BOTH[0]
        )

    assert outcome(SLOT).outcome == "inconclusive"
    copied = outcome("mamba-1.float32.batch-8")
    assert copied.outcome == "invalid"
    assert "are of two dtypes: at least one is a copy" in copied.reason
