"""Margins that follow from the sentences of a manifest. Oracle: borders and halves by hand."""

import json
from pathlib import Path
from typing import Any

import made_up_records as records
import pytest

from repro import paths
from repro.errors import BadInputError
from repro.schema import validate
from repro.schema.claim_base import NO_MARGIN, Margin
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim, MeanClaim
from repro.schema.validate import problems_of

A, B, C = "T9.mamba-1.float16", "T9.phi-1.float16", "T9.mamba-2.float16"
PLACE = {"section": "5"}


def printed(name: str, text: str, unit: str = "percentage points") -> dict[str, Any]:
    return {"id": name, "text": text, "unit": unit, "place": PLACE}


def divergence(name: str, dtype: str = "float16") -> dict[str, Any]:
    return {
        "kind": "divergence",
        "checkpoint": name.split(".")[1],
        "dtype": dtype,
        "reference": "float32",
        "input_rounding": "0.01",
    }


def cell(name: str, measure: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    made = sentence("cell", id=name, published=name, measure=measure or divergence(name), **more)
    del made["basis"]
    return made


def sentence(kind: str, **fields: Any) -> dict[str, Any]:
    common = {"id": "it", "statement": "it", "place": PLACE, "depends_on": []}
    return {**common, "kind": kind, "basis": "printed", **fields}


def page(kind: str, **fields: Any) -> dict[str, Any]:
    made = sentence(kind, **fields)
    del made["basis"]
    return made


def manifest(texts: dict[str, str], claims: list[dict[str, Any]]) -> Manifest:
    return records.manifest(
        published=[printed(*each) for each in texts.items()], claims=claims, jobs=[], settings=[]
    )


def margins(texts: dict[str, str], *sentences: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Of cells A, B and C, where they are printed: value, and what is at the border."""
    cells = [cell(name) for name in (A, B, C) if name in texts]
    return of(manifest(texts, [*cells, *sentences]))


def of(claimed: Manifest) -> dict[str, tuple[str, str]]:
    return {
        each.id: (each.margin.value, each.margin.origin)
        for each in claimed.claims
        if isinstance(each, CellClaim | MeanClaim) and each.margin
    }


def half(start: str, end: str, what: str) -> str:
    return f"half the distance from {start} to {end}, {what}"


NOTHING = "no divergence"
SPIKE = sentence("count", published="n", of=[A], above="1")
FAR = {A: "0.40", B: "0.70"}


# -----------------------------------------------------------------------------
# Where a number would say nothing


def test_no_divergence_borders_on_every_divergence() -> None:
    assert margins({A: "0.03"}) == {A: ("0.015", half("0.03", "0", NOTHING))}
    assert margins({A: "0.00"})[A][0] == "0.00"


TUNED = {
    "kind": "tuned-divergence",
    "checkpoints": ["mamba-1"],
    "methods": ["lora-all"],
    "precision": "float16",
}
MODEL = [{"checkpoint": "mamba-1", "arm": "pretrained"}]
RATIO = {
    "kind": "improvement-ratio",
    "left": MODEL,
    "right": MODEL,
    "unit": "relative",
    "average": "mean-first",
}
GAIN = {
    "kind": "throughput",
    "group": "sizes",
    "checkpoints": ["mamba-1"],
    "reference": "full.float32",
    "against": None,
    "form": "mean",
    "hardware": "NVIDIA A10G",
}
UNBUILT = {"kind": "unbuilt", "needs": "few-shot", "what": "it"}
SCORE = {
    "kind": "score",
    "checkpoint": "mamba-1",
    "method": "lora-all",
    "precision": "float16",
    "task": "piqa",
    "metric": "accuracy",
}


@pytest.mark.parametrize(
    ("measure", "text", "value", "border", "what"),
    [
        (TUNED, "0.54", "0.27", "0", NOTHING),
        (RATIO, "38", "19", "0", "no improvement"),
        (RATIO, "81.5", "9.25", "100", "no less and no more than the other"),
        (RATIO, "133", "16.5", "100", "no less and no more than the other"),
        ({**GAIN, "statistic": "speed"}, "1.74", "0.37", "1", "no gain"),
        ({**GAIN, "statistic": "speed"}, "0.8", "0.1", "1", "no gain"),
        ({**GAIN, "statistic": "memory"}, "47.2", "23.6", "0", "no gain"),
    ],
)
def test_every_measure_has_values_that_say_nothing(
    measure: dict[str, Any], text: str, value: str, border: str, what: str
) -> None:
    found = of(manifest({A: text}, [cell(A, measure)]))
    assert found == {A: (value, half(text, border, what))}


@pytest.mark.parametrize("measure", [UNBUILT, SCORE])
def test_a_number_that_no_sentence_rests_on_has_none(measure: dict[str, Any]) -> None:
    claimed = manifest({A: "45.16"}, [cell(A, measure)])
    only: Any = claimed.claims[0]
    none = Margin(value="0", origin="no sentence compares it with anything")
    assert only.margin == none == NO_MARGIN


def test_a_mean_borders_on_no_divergence_if_it_is_measured() -> None:
    mean = sentence("mean", published="m", of=[A, B])
    texts = {**FAR, "m": "0.56"}
    assert "it" not in margins(texts, mean)
    measured = {**mean, "basis": "measured"}
    assert margins(texts, measured)["it"] == ("0.28", half("0.56", "0", NOTHING))


# -----------------------------------------------------------------------------
# What sentences compare


@pytest.mark.parametrize("basis", ["printed", "measured"])
def test_a_spike_is_one_for_every_divergence(basis: str) -> None:
    """The sentence counts those of one model alone; its threshold is the paper's word."""
    texts = {A: "0.66", B: "1.45", C: "0.40", "n": "1"}
    assert margins(texts, {**SPIKE, "basis": basis}) == {
        A: ("0.17", half("0.66", "1", "a spike")),
        B: ("0.225", half("1.45", "1", "a spike")),
        C: ("0.20", half("0.40", "0", NOTHING)),
    }
    both = sentence("concordance", left=[A, B], right=[B, A], by="spikes", above="0.5")
    assert margins(texts, both)[A] == ("0.08", half("0.66", "0.5", "a spike"))
    assert margins(texts, both)[C] == ("0.05", half("0.40", "0.5", "a spike"))


def test_a_threshold_is_none_of_another_kind_of_number() -> None:
    claims = [
        cell(A, RATIO),
        cell(B, TUNED),
        cell(C),
        sentence("count", published="n", of=[C], above="7"),
    ]
    found = of(manifest({A: "8", B: "6", C: "5", "n": "0"}, claims))
    assert [found[name][0] for name in (A, B, C)] == ["4", "3", "1"]


@pytest.mark.parametrize("by", ["steps", "ranks"])
@pytest.mark.parametrize("basis", ["printed", "measured"])
def test_neighbours_of_a_trend_border_on_each_other(by: str, basis: str) -> None:
    """Of each series; the first and the last are no neighbours."""
    texts = {A: "0.50", B: "0.80", C: "0.55"}
    trend = sentence("concordance", basis=basis, left=[A, B, C], right=[C, C], by=by)
    what = "its neighbour in a trend"
    assert margins(texts, trend) == {
        A: ("0.15", half("0.50", "0.80", what)),
        B: ("0.125", half("0.80", "0.55", what)),
        C: ("0.125", half("0.55", "0.80", what)),
    }
    other = {**trend, "left": [C, C], "right": [A, B, C]}
    assert margins(texts, other) == margins(texts, trend)


@pytest.mark.parametrize("basis", ["printed", "measured"])
def test_sides_of_an_ordering_border_on_each_other(basis: str) -> None:
    """A single value is itself; several are the mean that is printed of them, in their order."""
    texts = {**FAR, C: "0.45", "m": "0.50"}
    mean = sentence("mean", id="mean", basis="measured", published="m", of=[A, B])
    order = sentence("ordering", basis=basis, left=[C], right=[A, B], relation="at-most")
    what = "what it is compared with"
    found = margins(texts, mean, order)
    assert found[C] == ("0.025", half("0.45", "0.50", what))
    assert found["mean"] == ("0.025", half("0.50", "0.45", what))
    assert (found[A], found[B]) == (margins(FAR)[A], margins(FAR)[B])
    other = {**order, "left": [A, B], "right": [C]}
    assert margins(texts, mean, other) == found
    assert margins(texts, {**mean, "of": [B, A]}, order)[C][1].endswith(NOTHING)
    assert margins(texts, order)[C][1].endswith(NOTHING)


@pytest.mark.parametrize("tie", ["0.40", "0.4"])
def test_a_tie_is_a_border_only_where_a_sentence_says_who_wins(tie: str) -> None:
    texts = {A: "0.40", B: tie}
    order = sentence("ordering", left=[A], right=[B], relation="at-most")
    assert margins(texts, order) == margins(texts)
    versus = {"left": A, "right": B, "better": "lower"}
    texts |= {"n": "0", "all": "1"}
    wins = page("wins", published="n", out_of="all", comparisons=[versus])
    assert [float(value) for value, _ in margins(texts, wins).values()] == [0, 0]
    assert margins(texts, wins)[A][1] == half("0.40", tie, "the other arm")


def test_arms_of_a_win_border_on_each_other() -> None:
    texts = {**FAR, C: "0.62", "n": "1", "all": "2"}
    pairs = [{"left": A, "right": C, "better": "lower"}, {"left": C, "right": B, "better": "lower"}]
    expected = {
        A: ("0.11", half("0.40", "0.62", "the other arm")),
        B: ("0.04", half("0.70", "0.62", "the other arm")),
        C: ("0.04", half("0.62", "0.70", "the other arm")),
    }
    wins = page("wins", published="n", out_of="all", comparisons=pairs)
    assert margins(texts, wins) == expected
    sampled = [{**each, "questions": 100} for each in pairs]
    assert margins(texts, page("sampling", comparisons=sampled, z="1.96")) == expected


def test_values_that_rise_border_on_the_next() -> None:
    texts = {**FAR, C: "0.72"}
    rising = page("monotone", of=[A, B, C], direction="rising")
    what = "its neighbour in the ordering"
    assert margins(texts, rising) == {
        A: ("0.15", half("0.40", "0.70", what)),
        B: ("0.01", half("0.70", "0.72", what)),
        C: ("0.01", half("0.72", "0.70", what)),
    }


def test_a_number_borders_on_what_it_is_held_against() -> None:
    texts = {**FAR, "two": "0.5"}
    plain = page("ratio", published=A, of=["two"], form="plain", relation="at-most")
    assert margins(texts, plain)[A] == ("0.05", half("0.40", "0.5", "what it is held against"))
    turned = {**plain, "published": "two", "of": [A]}
    assert margins(texts, turned) == margins(texts, plain)
    times = {**plain, "of": ["two", B], "form": "times"}
    assert margins(texts, times) == margins(texts)


@pytest.mark.parametrize("relation", ["smaller", "smaller-beyond-null"])
def test_bars_border_on_those_that_are_larger(relation: str) -> None:
    """Of the same precision, whichever way the checkpoints are named."""
    texts = {A: "0.10", B: "0.14", C: "0.54", "D": "0.11", "E": "0.12"}
    groups = {A: ["a", "b"], B: ["c"], C: ["d"], "D": ["c"], "E": ["x"]}
    cells = [
        cell(
            name,
            {**TUNED, "checkpoints": names, **({"precision": "bfloat16"} if name == "D" else {})},
        )
        for name, names in groups.items()
    ]
    bars = {
        "published": None,
        "task": "mmlu",
        "checkpoints": ["b", "a"],
        "methods": ["lora-all"],
        "precisions": ["float16"],
        "relation": relation,
        "above": None,
        "others": [["c"], ["d"]],
    }
    what = "its neighbour in the ordering"
    found = of(manifest(texts, [*cells, page("bars", **bars)]))
    assert found == {
        A: ("0.02", half("0.10", "0.14", what)),
        B: ("0.02", half("0.14", "0.10", what)),
        C: ("0.22", half("0.54", "0.10", what)),
        "D": ("0.055", half("0.11", "0", NOTHING)),
        "E": ("0.06", half("0.12", "0", NOTHING)),
    }
    other = {**bars, "relation": "none-above", "above": "1", "others": []}
    assert of(manifest(texts, [*cells, page("bars", **other)]))[A] == (
        "0.05",
        half("0.10", "0", NOTHING),
    )


# -----------------------------------------------------------------------------
# Which sentences draw borders, and for whom


@pytest.mark.parametrize(
    ("standing", "value"), [("printed", "0.15"), ("step", "0.15"), ("beside", "0.20")]
)
def test_our_own_checks_draw_no_border(standing: str, value: str) -> None:
    order = sentence("ordering", left=[A], right=[B], relation="at-most", standing=standing)
    assert margins(FAR, order)[A][0] == value
    count = {**SPIKE, "above": "0.7", "standing": standing}
    assert margins({**FAR, "n": "0"}, count)[A][0] == value


def test_numbers_that_are_printed_twice_share_their_borders() -> None:
    """A is B again and B is C again, and each has borders of its own; D has other digits."""
    texts = {A: "0.40", B: "0.40", C: "0.40", "D": "0.50", "x": "0.44", "y": "0.38"}
    again = page("repeat", id="again", left=[A, B, A], right=[B, C, "D"])
    rising = page("monotone", id="up", of=[A, "x"], direction="rising")
    falling = page("monotone", id="down", of=[C, "y"], direction="falling")
    what = half("0.40", "0.38", "its neighbour in the ordering")
    cells = [*map(cell, (A, B, C)), cell("D", divergence(A))]
    for sentences in ((again, rising, falling), (falling, again, rising)):
        found = of(manifest(texts, [*cells, *sentences]))
        assert {name: found[name] for name in (A, B, C)} == dict.fromkeys((A, B, C), ("0.01", what))
        assert found["D"] == ("0.25", half("0.50", "0", NOTHING))
    backwards = {**again, "left": ["D", C, B], "right": [A, B, A]}
    assert of(manifest(texts, [*cells, backwards, rising, falling]))[A] == ("0.01", what)


def test_the_nearest_of_several_borders_counts() -> None:
    texts = {A: "0.40", B: "0.70", C: "0.38", "n": "0"}
    order = [
        sentence("ordering", id=each, left=[A], right=[each], relation="at-most") for each in (B, C)
    ]
    assert margins(texts, *order, {**SPIKE, "id": "n"})[A][0] == "0.01"
    assert margins(texts, order[0], {**SPIKE, "id": "n"})[A][0] == "0.15"


# -----------------------------------------------------------------------------
# Files


def whole(**margins: Any) -> dict[str, Any]:
    """The made-up manifest; its cells are 0.20 and 1.10, and above 1 is a spike."""
    data = records.manifest_data()
    order = data["claims"].pop()
    for each in data["claims"][:2]:
        del each["margin"]
    data["claims"][0].update(margins)
    return {**data, "claims": [*data["claims"], {**order, "standing": "beside"}]}


def problems(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = records.manifest(**data)
    return [each for each in problems_of(found, found.id) if "margin" in each[0]]


def test_a_margin_is_computed_where_the_file_gives_none() -> None:
    data = whole()
    claimed = records.manifest(**data)
    assert of(claimed) == {
        A: ("0.10", half("0.20", "0", NOTHING)),
        B: ("0.05", half("1.10", "1", "a spike")),
    }
    assert problems(data) == []
    # What is written again is the same manifest.
    assert Manifest.model_validate_json(claimed.model_dump_json()) == claimed


@pytest.mark.parametrize("value", ["0.10", "0.1", "0.100"])
def test_a_typed_margin_that_is_the_computed_one_is_taken(value: str) -> None:
    data = whole(margin={"value": value, "origin": "typed"})
    assert problems(data) == []
    assert of(records.manifest(**data))[A] == (value, "typed")


@pytest.mark.parametrize("value", ["0.11", "0.09", "0"])
def test_another_margin_is_refused(value: str) -> None:
    data = whole(margin={"value": value, "origin": "typed"})
    advice = f"0.10, {half('0.20', '0', NOTHING)}: leave it out, it is computed"
    assert problems(data) == [("claims[0].margin.value", repr(value), advice)]


def test_a_file_with_another_margin_is_refused_whole(tmp_path: Path) -> None:
    data = json.loads((paths.MANIFESTS / "table1.json").read_bytes())
    data["claims"][0]["margin"] = {"value": "0.5", "origin": "typed"}
    path = tmp_path / "table1.json"
    path.write_text(json.dumps(data))
    with pytest.raises(BadInputError) as caught:
        validate.load_manifest(path)
    (problem,) = caught.value.problems
    assert caught.value.exit_code == 2
    assert problem.where == f"{path}: $.claims[0].margin.value"
    assert (problem.found, problem.expected.split(",")[0]) == ("'0.5'", "0.015")


@pytest.mark.parametrize("given", [{}, {"margin": None}])
def test_a_measured_mean_without_a_margin_gets_it(given: dict[str, Any]) -> None:
    data = whole()
    mean = {**data["claims"][2], "id": "measured", "basis": "measured", **given}
    data["claims"].append(mean)
    assert of(records.manifest(**data))["measured"] == ("0.325", half("0.65", "0", NOTHING))
    assert problems(data) == []
    typed = {**mean, "margin": {"value": "0.3", "origin": "x"}}
    data["claims"][-1] = typed
    (problem,) = problems(data)
    assert problem[:2] == (f"claims[{len(data['claims']) - 1}].margin.value", "'0.3'")


def test_a_printed_mean_takes_none() -> None:
    data = whole()
    data["claims"][2]["margin"] = {"value": "0.3", "origin": "x"}
    assert problems(data) == [("claims[2].margin", "0.3", "none: a printed mean is exact")]


@pytest.mark.parametrize("margin", [{}, {"margin": {"value": "0.1", "origin": "x"}}])
def test_a_number_that_nobody_printed_is_told_as_such(margin: dict[str, Any]) -> None:
    """Nothing follows of a value that is not there; the name is what is wrong."""
    data = whole(published="nobody", **margin)
    found = records.manifest(**data)
    told = [each[:2] for each in problems_of(found, found.id) if each[0].startswith("claims[0]")]
    assert told == [("claims[0].published", "'nobody', which is not defined")]


# -----------------------------------------------------------------------------
# Two kernels at tier full


@pytest.mark.parametrize("field", ["mamba_path", "attention_float32", "attention_half"])
def test_tier_full_takes_two_kernels(tmp_path: Path, field: str) -> None:
    """Of attention or of Mamba's scan; batches and orders alone say nothing of another machine."""
    data = json.loads((paths.MANIFESTS / "table1.json").read_bytes())
    for each in data["settings"]:
        each |= {"mamba_path": "slow", "attention_float32": "eager", "attention_half": "eager"}
    path = tmp_path / "table1.json"
    path.write_text(json.dumps(data))
    with pytest.raises(BadInputError) as caught:
        validate.load_manifest(path)
    (problem,) = caught.value.problems
    assert problem.where.endswith("$.jobs[0].tiers.full.settings")
    assert problem.found == "one kernel"
    assert problem.expected == "two, of attention or of Mamba's scan"
    other = {"mamba_path": "kernels"}.get(field, "sdpa")
    data["settings"][0][field] = other
    path.write_text(json.dumps(data))
    assert validate.load_manifest(path).settings


def test_tier_full_takes_seven_settings(tmp_path: Path) -> None:
    data = json.loads((paths.MANIFESTS / "table1.json").read_bytes())
    full = data["jobs"][0]["tiers"]["full"]
    assert len(full["settings"]) == 7
    full["settings"][3] = full["settings"][2]
    path = tmp_path / "table1.json"
    path.write_text(json.dumps(data))
    with pytest.raises(BadInputError, match="6 settings") as caught:
        validate.load_manifest(path)
    assert [each.expected for each in caught.value.problems] == ["at least 7"]


# -----------------------------------------------------------------------------
# The paper


def bundled(name: str) -> dict[str, str]:
    found = of(validate.load_manifest(paths.MANIFESTS / f"{name}.json"))
    return {claim: value for claim, (value, _) in found.items()}


def test_margins_of_the_bundle_by_hand() -> None:
    """0.52 to 0.67 of a smaller model, and the averages that are called similar."""
    assert bundled("table3")["T3.mamba2-370m.bfloat16"] == "0.075"
    table = bundled("table1")
    means = {name: table[name] for name in table if name.startswith("S")}
    assert means == {
        "S1.float16.measured": "0.015",
        "S2.float16.measured": "0.015",
        "S1.bfloat16.measured": "0.035",
        "S2.bfloat16.measured": "0.035",
    }
    assert (table["T1.pythia-160m.bfloat16"], table["T1.mamba-790m.bfloat16"]) == ("0.225", "0.17")
    assert bundled("figure1")["F1a.openelm"] == "0.20"
    assert (bundled("figure2")["F2a"], bundled("figure2")["F2b"]) == ("0.075", "1.4")


def test_no_manifest_of_the_bundle_types_a_margin() -> None:
    for path in sorted(paths.MANIFESTS.glob("*.json")):
        claims = json.loads(path.read_bytes())["claims"]
        assert [each["id"] for each in claims if "margin" in each] == []
