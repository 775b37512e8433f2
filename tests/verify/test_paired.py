"""Which evaluations a claim is decided by. Oracle: the slots of the made-up manifest."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest
from made_up_worlds import BOTH, table, wobbling, world
from single_cells import single

from repro.schema.slots import slots
from verify import decision_rule, paired
from verify.evidence import Evidence, NotRunError
from verify.rules import model

TWENTY = {"mamba-1": "20.0", "phi-1": "20.0"}
LOST = wobbling({"mamba-1": 13, "phi-1": 4})


def test_evaluations_are_found_behind_other_jobs(tmp_path: Path) -> None:
    """One row a setting, reference first."""
    jobs = [single(), *records.manifest_data()["jobs"]]
    claimed, evidence = world(tmp_path, LOST, jobs=jobs, **table(TWENTY))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[1])], evidence)
    slots = [[[each.slot.id for each in pair] for pair in row] for row in found.rows]
    assert slots == [
        [[f"phi-1.float32.batch-{size}", f"phi-1.float16.batch-{size}"]] for size in records.BATCHES
    ]


def test_a_cell_without_a_job_type_has_no_evaluations(tmp_path: Path) -> None:
    data = table(TWENTY)
    data["claims"][0]["measure"] = {"kind": "unbuilt", "needs": "few-shot", "what": "the gain"}
    claimed, evidence = world(tmp_path, LOST, **data)
    why = f"no job for it: few-shot, for {BOTH[0]}"
    with pytest.raises(NotRunError, match=f"^{why}$"):
        paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)


def test_accuracies_of_the_references(tmp_path: Path) -> None:
    """40 of 65 right; the commonest gold letter stands 17 times, counted here."""
    claimed, evidence = world(tmp_path, LOST, **table(TWENTY))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    gold = [*records.gold_of("arithmetic"), *records.gold_of("geometry")]
    majority = max(gold.count(letter) for letter in range(4)) / 65
    assert found.reference_accuracy() == pytest.approx((40 / 65, 40 / 65, majority))
    assert majority == pytest.approx(17 / 65)
    # The candidates lose 12 to 14 of them.
    other = paired.PairedCells(tuple(tuple((b, a) for a, b in row) for row in found.rows), 0)
    assert other.reference_accuracy() == pytest.approx((26 / 65, 28 / 65, majority))


def test_the_first_of_settings_that_gave_the_same_numbers_is_kept(tmp_path: Path) -> None:
    """Rows in the order given: the third repeats the first."""
    claimed, evidence = world(tmp_path, LOST, **table(TWENTY))
    rows = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence).rows[:3]
    again = tuple((replace(a), replace(b)) for a, b in rows[0])
    found = paired.pair_rows([*rows[:2], again, rows[2]])
    assert found.repeated == 1
    assert [row[0][0].slot.id for row in found.rows] == [row[0][0].slot.id for row in rows]
    assert found.rows[0] is rows[0]


def test_a_shift_is_zero_on_average_when_nothing_happened(tmp_path: Path) -> None:
    """Oracle: (won - lost)^2 - (won + lost), by hand, in squared units of 100 / 65 points."""
    claimed, evidence = world(tmp_path, lambda _, setting, __: (setting, 3), **table(TWENTY))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    unit = (100 / 65) ** 2
    by_hand = [9 - 3, 4 - 4, 1 - 5, 0 - 6, 1 - 7]
    assert found.shifts == pytest.approx([each * unit for each in by_hand])
    assert found.flips() == pytest.approx((2 * 2, 2 * 3))
    assert found.divergences == pytest.approx([each * 100 / 65 for each in (3, 2, 1, 0, 1)])


@pytest.mark.parametrize(("more", "at_the_floor"), [(0, True), (1, False)])
def test_a_divergence_as_large_as_the_null_is_at_the_floor(
    tmp_path: Path, *, more: int, at_the_floor: bool
) -> None:
    """20, 60, 40, 40 and 40 points, 40 on average, lie 40 apart at most; `more` is one answer."""
    lost = (13, 39, 26, 26, 26 + more)
    claimed, evidence = world(tmp_path, lambda _, setting, __: (lost[setting], 0), **table(TWENTY))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    assert found.null == 40.0
    assert decision_rule.mean(found.divergences) == pytest.approx(
        40 + more * 100 / 65 / 5, abs=1e-9
    )
    assert found.at_the_floor == at_the_floor


def test_other_arms_stand_beside_the_first_setting(tmp_path: Path) -> None:
    """13 and 2 answers lost of 65 are 20 and 3.08 points; the third arm was left out of the run."""
    data = table(TWENTY)
    data["jobs"] = [single(), *records.manifest_data()["jobs"]]
    data["jobs"][1]["tiers"]["full"]["other_arms"] = ["autocast", "float32-head"]
    claimed = records.manifest(**data)
    lost = {"weight-cast": 13, "autocast": 2, "float32-head": 40}

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        least = lost[job.arm] if job.dtype == "float16" else 0
        for shots in job.shots:
            gold = arrays[f"shots{shots}/gold"]
            letters = np.where(np.arange(65) < least, (gold + 1) % 4, gold)
            scores = np.full((65, 4), -5.0 - job.setting.batch_size / 1024)
            scores[np.arange(65), letters] = -1.0
            arrays[f"shots{shots}/log_likelihood"] = scores
            arrays[f"shots{shots}/prediction"] = letters
        fields["values"] = records.values_of(arrays)

    store, run = records.run(tmp_path, claimed, "full", change)
    jobs = {name: key for name, key in run.jobs.items() if "float32-head" not in name}
    run = run.model_copy(update={"jobs": jobs})
    datasets = {"mmlu": records.dataset()}
    evidence = Evidence(claimed, run, store, records.checkpoints(), datasets)
    cell = claimed.cell(BOTH[0])
    found = paired.by_cast_mode(claimed, cell, evidence)
    assert found == pytest.approx({"weight-cast": 20.0, "autocast": 200 / 65})
    beside = {
        each.label: each.value for each in model.cell(claimed, cell, evidence).decided.estimates
    }
    named = {f"{arm}, first setting": value for arm, value in found.items()}
    assert beside.items() >= named.items()


def test_the_way_of_float32_is_one_of_the_reference(tmp_path: Path) -> None:
    """Mamba-2 alone has it: 5 of 65 answers lost by it, 13 by float16, so 8 apart: 12.3 points."""
    data = table(TWENTY)
    data["jobs"] = [single(), *records.manifest_data()["jobs"]]
    data["jobs"][1]["tiers"]["full"]["other_arms"] = ["ieee"]
    claimed = records.manifest(**data)

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        least = 13 if job.dtype == "float16" else 5 if job.arm == "ieee" else 0
        for shots in job.shots:
            gold = arrays[f"shots{shots}/gold"]
            letters = np.where(np.arange(65) < least, (gold + 1) % 4, gold)
            scores = np.full((65, 4), -5.0)
            scores[np.arange(65), letters] = -1.0
            arrays[f"shots{shots}/log_likelihood"] = scores
            arrays[f"shots{shots}/prediction"] = letters
        fields["values"] = records.values_of(arrays)

    known = records.checkpoints()
    mamba2 = {**known, "mamba-1": known["mamba-1"].model_copy(update={"family": "mamba2"})}
    wanted = {each.id for each in slots(claimed, "full", mamba2) if ".ieee." in each.id}
    assert wanted == {"mamba-1.float32.ieee.batch-4"}
    assert not any(".ieee." in each.id for each in slots(claimed, "full", known))
    store, run = records.run(tmp_path, claimed, "full", change, known=mamba2)
    evidence = Evidence(claimed, run, store, mamba2, {"mmlu": records.dataset()})
    found = paired.by_cast_mode(claimed, claimed.cell(BOTH[0]), evidence)
    assert found == pytest.approx({"weight-cast": 20.0, "ieee": 800 / 65})
