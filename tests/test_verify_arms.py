"""Which evaluations a claim is decided by. Oracle: the slots of the made-up manifest."""

from pathlib import Path

import made_up_records as records
import pytest
from test_verify_decidable import single
from test_verify_model_rules import BOTH, table, wobbling, world

from verify import arms
from verify.evidence import NotRunError

TWENTY = {"mamba-1": "20.0", "phi-1": "20.0"}
LOST = wobbling({"mamba-1": 13, "phi-1": 4})


def test_evaluations_are_found_behind_other_jobs(tmp_path: Path) -> None:
    """One row a setting, reference first."""
    jobs = [single(), *records.manifest_data()["jobs"]]
    claimed, evidence = world(tmp_path, LOST, jobs=jobs, **table(TWENTY))
    found = arms.arms(claimed, [claimed.cell(BOTH[1])], evidence)
    slots = [[[each.slot.id for each in pair] for pair in row] for row in found.rows]
    assert slots == [
        [[f"phi-1.float32.batch-{size}", f"phi-1.float16.batch-{size}"]] for size in records.BATCHES
    ]


def test_a_cell_without_a_job_type_has_no_evaluations(tmp_path: Path) -> None:
    data = table(TWENTY)
    data["claims"][0]["measure"] = {"kind": "unbuilt", "needs": "few-shot", "what": "the gain"}
    claimed, evidence = world(tmp_path, LOST, **data)
    why = f"job type not built: few-shot, for {BOTH[0]}"
    with pytest.raises(NotRunError, match=f"^{why}$"):
        arms.arms(claimed, [claimed.cell(BOTH[0])], evidence)


def test_accuracies_of_the_references(tmp_path: Path) -> None:
    """40 of 65 right; the commonest gold letter stands 17 times, counted here."""
    claimed, evidence = world(tmp_path, LOST, **table(TWENTY))
    found = arms.arms(claimed, [claimed.cell(BOTH[0])], evidence)
    gold = [*records.gold_of("arithmetic"), *records.gold_of("geometry")]
    majority = max(gold.count(letter) for letter in range(4)) / 65
    assert found.reference_accuracy() == pytest.approx((40 / 65, 40 / 65, majority))
    assert majority == pytest.approx(17 / 65)
