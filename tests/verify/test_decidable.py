"""What no run could decide. Oracle: the floor of 65 questions at two numbers of shots, 4.6154."""

from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import pytest
from made_up_worlds import BOTH, sentence, table
from single_cells import single

from verify.decidable import family, input_rounding, undecidable

DATASETS = {"mmlu": records.dataset()}
TWENTY = {"mamba-1": "20.0", "phi-1": "20.0"}
MEAN = sentence("mean", published="mean", of=BOTH, margin={"value": "9.3", "origin": "x"})


def test_why_a_number_is_not_decidable() -> None:
    """h is 0.05 and 0.01 of rounded accuracies; 2 x 4.6 is far above either margin."""
    within = "not decidable: the margin 0.06 is within rounding, 0.06"
    under = "not decidable: the margin 0.07 is under two standard deviations of 4.6"
    data = table(TWENTY, margin="0.06")
    data["claims"][1]["margin"]["value"] = "0.07"
    expected = dict(zip(BOTH, (within, under), strict=True))
    assert undecidable(records.manifest(**data), "full", DATASETS) == expected


@pytest.mark.parametrize(
    ("cell", "mean", "open_"),
    [("9.24", "6.53", []), ("9.23", "6.53", BOTH), ("9.24", "6.52", ["it"])],
)
def test_a_margin_of_two_floors_can_be_decided(cell: str, mean: str, open_: list[str]) -> None:
    """Twice 4.6154 for a cell, and over the root of two for the mean of two cells: 6.5271."""
    of_both = {**MEAN, "margin": {"value": mean, "origin": "x"}}
    claimed = records.manifest(**table(TWENTY, margin=cell, more=[of_both]))
    assert sorted(undecidable(claimed, "full", DATASETS)) == open_
    assert family(claimed, DATASETS) == 3 - len(open_)


@pytest.mark.parametrize(
    ("models", "methods", "margin"),
    [(1, 1, 9.2308), (2, 1, 6.5271), (1, 2, 7.9941), (2, 2, 5.6527)],
)
def test_floors_of_divergences_of_tuned_models(models: int, methods: int, margin: float) -> None:
    """Twice 300 / 65 sqrt(1 / models), and sqrt(3 / 4) of it for two that share a reference."""
    names, ways = ("mamba-1", "mamba-2")[:models], ("lora-all", "lora-sll")[:methods]
    measure = {
        "kind": "tuned-divergence",
        "checkpoints": list(names),
        "methods": list(ways),
        "precision": "bfloat16",
    }
    arms = ("full.float32", *(f"{way}.bfloat16" for way in ways))
    cells = [
        {**tuned.cell(measure, f"{margin + more:.4f}"), "id": name}
        for name, more in (("under", -0.001), ("over", 0.001))
    ]
    claimed = tuned.manifest([tuned.group(names, arms, ("mmlu",))], cells, number="20.0")
    assert set(undecidable(claimed, "full", tuned.datasets())) == {"under"}


def test_numbers_are_found_wherever_they_stand() -> None:
    """After a sentence, and in a manifest whose first jobs are no evaluations."""
    data = table(TWENTY, margin="9.3", more=[MEAN])
    count = {**sentence("count", published="count", of=BOTH, above="1"), "id": "first"}
    data["claims"].insert(0, count)
    data["jobs"] = [single(), *records.manifest_data()["jobs"]]
    assert family(records.manifest(**data), DATASETS) == 3


@pytest.mark.parametrize("place", [0, 1])
def test_a_mean_over_a_cell_that_is_not_measured_is_no_number(place: int) -> None:
    data = table(TWENTY, margin="9.3", more=[MEAN])
    unbuilt = {"kind": "unbuilt", "needs": "few-shot", "what": "the gain"}
    data["claims"][place]["measure"] = unbuilt
    assert family(records.manifest(**data), DATASETS) == 1


def test_rounding_of_the_inputs() -> None:
    """The largest of the cells' own; a mean may have been taken of cells as they are printed."""
    data = table({"mamba-1": "20.0", "phi-1": "20"}, more=[MEAN])
    data["claims"][1]["measure"]["input_rounding"] = "0.02"
    claimed = records.manifest(**data)
    cells = [claimed.cell(name) for name in BOTH]
    assert [str(input_rounding(claimed, each, [each])) for each in cells] == ["0.01", "0.02"]
    mean: Any = claimed.claims[2]
    assert str(input_rounding(claimed, mean, cells)) == "0.52"
