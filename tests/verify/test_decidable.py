"""What no run could decide. Oracle: the reach of the rule, written anew.

65 questions at two numbers of shots have a floor of 300 / 65 = 4.6154 points. Without changes, at 7
settings, a cell reaches 1.94318 x 4.6154 sqrt(8 / 7) = 9.5879 and h = 0.06; a mean of two cells has
a floor of 3.2636, so 6.7797, and h = 0.065 of a mean printed with two digits, as the
paper may have averaged what it printed.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import pytest
from made_up_worlds import BOTH, sentence, table, world
from scipy import stats
from single_cells import single

from repro import paths
from repro.schema import catalog, validate
from repro.schema.catalog import Changes
from repro.schema.manifest import Manifest
from verify.decidable import family, input_rounding, score_floor, undecidable
from verify.evidence import Evidence

TWENTY = {"mamba-1": "20.0", "phi-1": "20.0"}
MEAN = sentence("mean", published="mean", of=BOTH, margin={"value": "9.7", "origin": "x"})


def datasets(
    float16: dict[int, int] | None = None, bfloat16: dict[int, int] | None = None, of: int = 65
) -> dict[str, Any]:
    """The made-up questions, and what a model was seen to change of so many."""
    if float16 is None:
        return {"mmlu": records.dataset()}
    dtypes = {"float16": float16, "bfloat16": bfloat16 or {}}
    changes = Changes(of="seen", questions=of, dtypes=dtypes)
    return {"mmlu": records.dataset().model_copy(update={"changes": changes})}


def reach(c: float, floor: float, settings: int = 7, h: float = 0.06) -> float:
    """By the formulas of the rule: c answers in all, at two numbers of shots, of one cell."""
    w = floor**2 * (1 + 1 / settings)
    v = 2 * c * (100 / 65 / 2) ** 2 + w
    nu = (settings - 1) * (v / w) ** 2
    return h + float(stats.t.isf(0.05, nu)) * math.sqrt(v)


def borders(found: float) -> tuple[str, str]:
    """A margin just within a reach, and one just above it."""
    return f"{found - 1e-4:.6f}", f"{found + 1e-4:.6f}"


def why(claimed: Manifest, known: dict[str, Any], evidence: Evidence | None = None) -> list[str]:
    return sorted(undecidable(claimed, "full", known, evidence))


def test_why_a_number_is_not_decidable() -> None:
    """h is 0.05 and 0.01 of rounded accuracies."""
    within = "cannot be reproduced, whatever is measured: the margin 0.06 is within rounding, 0.06"
    under = (
        "cannot be reproduced, whatever is measured: the margin 0.07 is within 9.6, what rounding "
        "and two machines leave open"
    )
    data = table(TWENTY, margin="0.06")
    data["claims"][1]["margin"]["value"] = "0.07"
    claimed = records.manifest(**data)
    expected = dict(zip(BOTH, (within, under), strict=True))
    assert undecidable(claimed, "full", datasets()) == expected
    assumed = {**expected, BOTH[1]: f"{under} of a model that changes as many answers as seen does"}
    assert undecidable(claimed, "full", datasets({5: 0})) == assumed
    for tier in ("smoke", "subset"):
        assert undecidable(claimed, tier, datasets()) == {}


@pytest.mark.parametrize(
    ("cell", "mean", "open_"),
    [("9.65", "6.85", []), ("9.64", "6.85", BOTH), ("9.65", "6.84", ["it"])],
)
def test_a_margin_beyond_the_reach_can_be_decided(cell: str, mean: str, open_: list[str]) -> None:
    of_both = {**MEAN, "margin": {"value": mean, "origin": "x"}}
    claimed = records.manifest(**table(TWENTY, margin=cell, more=[of_both]))
    assert why(claimed, datasets()) == open_
    assert family(claimed) == 3


@pytest.mark.parametrize(
    ("float16", "of", "changed"),
    [
        ({0: 10, 5: 20}, 65, 30.0),
        ({5: 20}, 65, 40.0),  # what is known of 5 shots, at 0 shots too
        ({3: 20}, 65, 40.0),  # at 5 shots what is known of 3, the most
        ({0: 10, 1: 90, 5: 20}, 65, 30.0),
        ({0: 10, 3: 12, 4: 14}, 130, 12.0),  # shares of questions
    ],
)
def test_cells_are_expected_to_change_what_a_real_model_does(
    float16: dict[int, int], of: int, changed: float
) -> None:
    for margin, open_ in zip(borders(reach(changed, 300 / 65)), (BOTH, []), strict=True):
        claimed = records.manifest(**table(TWENTY, margin=margin))
        assert why(claimed, datasets(float16, {0: 60}, of)) == open_


def test_a_dtype_that_no_model_was_run_in_is_expected_to_change_nothing() -> None:
    changes = Changes(of="seen", questions=65, dtypes={"bfloat16": {0: 60}})
    assert changes.expected("float16", 0) == 0.0
    assert [changes.expected("bfloat16", shots) for shots in (0, 5)] == [60 / 65] * 2


def test_a_mean_is_expected_to_change_what_all_of_its_cells_do() -> None:
    """Two cells of 30 changes: a half of u, and the floor of the mean."""
    expected = reach(60 / 4, 300 / 65 / math.sqrt(2), h=0.065)
    for margin, open_ in zip(borders(expected), (["it"], []), strict=True):
        more = [{**MEAN, "margin": {"value": margin, "origin": "x"}}]
        claimed = records.manifest(**table(TWENTY, margin="40", more=more))
        assert why(claimed, datasets({0: 10, 5: 20})) == open_


def jobs_with(settings: Sequence[str], subjects: Sequence[str]) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = records.manifest_data()["jobs"]
    full = jobs[0]["tiers"]["full"]
    full["settings"], full["subjects"] = list(settings), list(subjects)
    return jobs


@pytest.mark.parametrize(
    ("named", "counted"), [(range(3), 7), ([0, 0, 0, *range(5)], 7), (range(9), 9)]
)
def test_as_many_settings_are_expected_as_are_named_and_needed(
    named: Sequence[int], counted: int
) -> None:
    """Each once, and those that have to be added."""
    first = records.manifest_data()["settings"][0]
    every = [{**first, "id": f"s{number}", "batch_size": number + 1} for number in range(9)]
    jobs = jobs_with([f"s{number}" for number in named], list(records.QUESTIONS))
    for spec in jobs[0]["tiers"].values():
        spec["settings"] = jobs[0]["tiers"]["full"]["settings"]
    expected = reach(30, 300 / 65, counted)
    for margin, open_ in zip(borders(expected), (BOTH, []), strict=True):
        claimed = records.manifest(**table(TWENTY, margin=margin), settings=every, jobs=jobs)
        assert why(claimed, datasets({0: 10, 5: 20})) == open_


def test_the_questions_are_those_of_tier_full() -> None:
    """40 of arithmetic alone, and 20 and 40 changes in 65 are a share of them."""
    jobs = jobs_with([f"batch-{size}" for size in records.BATCHES], ["arithmetic"])
    w = 7.5**2 * 8 / 7
    v = 2 * 60 * (40 / 65) * (100 / 40 / 2) ** 2 + w
    expected = 0.06 + float(stats.t.isf(0.05, 6 * (v / w) ** 2)) * math.sqrt(v)
    for margin, open_ in zip(borders(expected), (BOTH, []), strict=True):
        claimed = records.manifest(**table(TWENTY, margin=margin), jobs=jobs)
        assert why(claimed, datasets({0: 20, 5: 40})) == open_


# -----------------------------------------------------------------------------
# By a run


LOST = (2, 5, 3, 3, 3, 3, 3)


def test_a_run_tells_what_its_own_cells_change(tmp_path: Path) -> None:
    """5 answers at both shots at the most: 10, and not the 120 that another model changes."""
    flips = lambda _, setting, __: (LOST[setting], 0)  # noqa: E731
    margins = borders(reach(10, 300 / 65))
    jobs = records.manifest_data()["jobs"]
    jobs[0]["tiers"]["subset"] = jobs[0]["tiers"]["full"]  # the same records, and no part of them
    claimed, evidence = world(tmp_path, flips, **table(TWENTY, margin=margins[0]), jobs=jobs)
    known = datasets({0: 60})
    found = undecidable(claimed, "full", known, evidence)
    assert list(found) == BOTH
    assert all(
        each.endswith("what rounding and two machines leave open") for each in found.values()
    )
    wider = records.manifest(**table(TWENTY, margin=margins[1]), jobs=jobs)
    again = Evidence(wider, evidence.run, evidence.store, evidence.checkpoints, known)
    assert why(wider, known, again) == []
    # A run of another tier, or one of which a record is missing, tells nothing.
    part = {name: key for name, key in evidence.run.jobs.items() if "phi-1" not in name}
    for changed, open_ in (({"tier": "subset"}, BOTH), ({"jobs": part}, BOTH[1:])):
        run = evidence.run.model_copy(update=changed)
        other = Evidence(wider, run, evidence.store, evidence.checkpoints, known)
        assert why(wider, known, other) == open_
        assert "as many answers as seen does" in undecidable(wider, "full", known, other)[BOTH[1]]


def test_a_run_whose_settings_repeat_each_other_has_no_spread(tmp_path: Path) -> None:
    """Bit-equal records are one draw: nothing could be decided by them, and that is said."""

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        answered = fields["job"].model_copy(update={"setting": claimed.settings[0]})
        arrays.update(records.answers(answered))
        fields["values"] = records.values_of(arrays)

    claimed = records.manifest(**table(TWENTY, margin="40"))
    store, run = records.run(tmp_path, claimed, "full", change)
    evidence = Evidence(claimed, run, store, records.checkpoints(), datasets())
    found = undecidable(claimed, "full", datasets(), evidence)
    assert found == dict.fromkeys(
        BOTH, "a value is no finite number, or nothing says how far it spreads"
    )


# -----------------------------------------------------------------------------
# Which numbers there are


def test_numbers_are_found_wherever_they_stand() -> None:
    """After a sentence, and in a manifest whose first jobs are no evaluations."""
    data = table(TWENTY, margin="9.7", more=[MEAN])
    count = {**sentence("count", published="count", of=BOTH, above="1"), "id": "first"}
    data["claims"].insert(0, count)
    data["jobs"] = [single(), *records.manifest_data()["jobs"]]
    assert family(records.manifest(**data)) == 3
    assert why(records.manifest(**data), datasets()) == []


def test_one_number_counts_once_whoever_prints_it() -> None:
    """Two claims on one cell, or two readings of one mean, are one number; other tables add."""
    data = table(TWENTY, margin="9.7", more=[MEAN, {**MEAN, "id": "again"}])
    twin = {**data["claims"][0], "id": "twice", "published": "count"}
    data["claims"].insert(1, twin)
    assert family(records.manifest(**data)) == 3
    assert family(records.manifest(**data, numbers_elsewhere=10)) == 13


def test_a_number_that_full_does_not_run_is_none() -> None:
    jobs = records.manifest_data()["jobs"]
    jobs[0]["checkpoints"] = ["phi-1"]
    assert family(records.manifest(**table(TWENTY, more=[MEAN]), jobs=jobs)) == 1
    jobs = records.manifest_data()["jobs"]
    del jobs[0]["tiers"]["full"]
    claimed = records.manifest(**table(TWENTY, margin="0.01"), jobs=jobs)
    assert (family(claimed), why(claimed, datasets())) == (0, [])


@pytest.mark.parametrize("place", [0, 1])
def test_a_mean_over_a_cell_that_is_not_measured_is_no_number(place: int) -> None:
    data = table(TWENTY, margin="9.7", more=[MEAN])
    unbuilt = {"kind": "unbuilt", "needs": "few-shot", "what": "the gain"}
    data["claims"][place]["measure"] = unbuilt
    assert family(records.manifest(**data)) == 1


def test_a_mean_of_printed_cells_is_no_measured_number() -> None:
    mean = sentence("mean", basis="printed", published="mean", of=BOTH)
    assert family(records.manifest(**table(TWENTY, more=[mean]))) == 2


def test_claims_on_tuned_models_name_what_the_paper_leaves_open() -> None:
    """Whatever their margins are: the recipe is one of many, and none of it was varied."""
    measure = {
        "kind": "tuned-divergence",
        "checkpoints": ["mamba-1"],
        "methods": ["lora-all"],
        "precision": "bfloat16",
    }
    cell = {**tuned.cell(measure, "99"), "id": "it"}
    arms = ("full.float32", "lora-all.bfloat16")
    claimed = tuned.manifest([tuned.group(("mamba-1",), arms, ("mmlu",))], [cell], number="20.0")
    expected = "what the paper leaves open was fixed here and not varied: loss, evaluation in "
    assert undecidable(claimed, "full", tuned.datasets()) == {"it": f"{expected}float32"}
    assert family(claimed) == 0


def test_rounding_of_the_inputs() -> None:
    """The largest of the cells' own; a mean may have been taken of cells as they are printed."""
    data = table({"mamba-1": "20.0", "phi-1": "20"}, more=[MEAN])
    data["claims"][1]["measure"]["input_rounding"] = "0.02"
    claimed = records.manifest(**data)
    cells = [claimed.cell(name) for name in BOTH]
    assert [str(input_rounding(claimed, each, [each])) for each in cells] == ["0.01", "0.02"]
    mean: Any = claimed.claims[2]
    assert str(input_rounding(claimed, mean, cells)) == "0.52"


# -----------------------------------------------------------------------------
# Table 1


@pytest.mark.parametrize(("changes", "decidable"), [(10, 14), (80, 7), (631, 1), (1404, 0)])
def test_how_many_numbers_of_table_1_are_decidable(changes: int, decidable: int) -> None:
    """Oracle: half the way from each printed value to 0 or 1, against the rule's formulas."""
    claimed = validate.load_manifest(paths.MANIFESTS / "table1.json")
    mmlu: Any = catalog.question_sets()["mmlu"]
    seen = mmlu.changes.model_copy(
        update={"dtypes": {dtype: {5: changes} for dtype in ("float16", "bfloat16")}}
    )
    known = {"mmlu": mmlu.model_copy(update={"changes": seen})}
    cells = [each for each in claimed.claims if each.kind == "cell"]
    named = undecidable(claimed, "full", known)
    assert sum(each.id not in named for each in cells) == decidable
    w = (100 * 3 / 14_042) ** 2 / 2 * (1 + 1 / 7)
    v = 2 * (100 / 14_042) ** 2 * changes / 4 + w
    widest = 0.015 + stats.t.isf(0.05, 6 * (v / w) ** 2) * math.sqrt(v)
    printed = [float(claimed.text_of(each.published)) for each in cells]
    margins = [min(value, abs(value - 1)) / 2 for value in printed]
    assert len(margins) == 24
    assert sum(margin > widest for margin in margins) == decidable


def test_the_real_model_of_the_catalog_leaves_three_numbers_of_table_1() -> None:
    """11 to 60 changes in FP16, and 84 to 631 in BF16: margins of 0.075 and 0.19 are too small."""
    claimed = validate.load_manifest(paths.MANIFESTS / "table1.json")
    named = undecidable(claimed, "full", catalog.question_sets())
    cells = {each.id for each in claimed.claims if each.kind == "cell"} - set(named)
    assert cells == {
        "T1.pythia-160m.float16",
        "T1.pythia-160m.bfloat16",
        "T1.mamba-790m.float16",
    }
    assert "as many answers as smollm2-135m-instruct does" in named["T1.mamba-130m.bfloat16"]


def test_tables_1_and_3_are_one_family() -> None:
    """24 cells and 4 means of Table 1, and the 10 of Mamba-2 that only Table 3 has."""
    one, three = (validate.load_manifest(paths.MANIFESTS / f"table{n}.json") for n in (1, 3))
    assert (one.numbers_elsewhere, three.numbers_elsewhere) == (10, 4)
    assert family(one) == family(three) == 38


# -----------------------------------------------------------------------------
# Scores


@pytest.mark.parametrize(
    ("metric", "expected"), [("accuracy", 3.0), ("perplexity", 45 * (math.exp(0.03) - 1))]
)
def test_the_floor_of_one_score(metric: str, expected: float) -> None:
    assert score_floor(metric, 45.0, 100) == pytest.approx(expected)
