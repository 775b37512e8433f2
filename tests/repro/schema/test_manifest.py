"""Manifests: what is accepted, and what is refused with which words."""

import json
from pathlib import Path
from typing import Any

import made_up_records as records
import pytest

from repro import paths as bundle
from repro.errors import BadInputError
from repro.schema import catalog, validate
from repro.schema.groups import EvaluationGroup, TuningGroup
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.schema.validate import problems_of


def write(folder: Path, data: Any) -> Path:
    path = folder / "table9.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def refusal(folder: Path, data: Any) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        validate.load_manifest(write(folder, data))
    assert caught.value.exit_code == 2
    return caught.value


def test_the_bundle_s_manifests_load_and_name_known_checkpoints() -> None:
    paths = sorted(bundle.MANIFESTS.glob("*.json"))
    assert {"table1", "stability", "theorem3"} <= {path.stem for path in paths}
    known = catalog.checkpoints()
    for path in paths:
        for group in validate.load_manifest(path).jobs:
            if isinstance(group, TuningGroup):
                assert {row.checkpoint for row in group.checkpoints} <= set(known)
                assert group.recipe.data in catalog.instructions()
            if isinstance(group, EvaluationGroup):
                assert set(group.checkpoints) <= set(known)
                for tier in group.tiers.values():
                    assert set(tier.stand_ins.values()) <= set(known)
                    assert set(tier.subjects) <= set(catalog.datasets()[group.task].subjects)


def test_the_schema_file_is_not_stale() -> None:
    """`python -m repro.schema.manifest` writes it."""
    from repro.schema import manifest

    assert manifest.PATH.read_text() == manifest.schema_text()


def test_a_full_tier_evaluates_every_question_and_seven_settings() -> None:
    full = next(iter(validate.load_manifest(bundle.MANIFESTS / "table1.json").jobs))
    assert isinstance(full, EvaluationGroup)
    subjects = catalog.datasets()["mmlu"].subjects
    assert sum(subjects[name].questions for name in full.tiers["full"].subjects) == 14042
    assert len(full.tiers["full"].settings) >= 7
    assert full.tiers["full"].settings == full.tiers["subset"].settings


def test_margins_of_table_1_follow_their_rule() -> None:
    """Half the distance to 0 or to 1, whichever is nearer."""
    from decimal import Decimal

    table = validate.load_manifest(bundle.MANIFESTS / "table1.json")
    cells = [claim for claim in table.claims if isinstance(claim, CellClaim)]
    assert len(cells) == 24
    for claim in cells:
        printed = Decimal(table.text_of(claim.published))
        assert Decimal(claim.margin.value) == min(printed, abs(printed - 1)) / 2


def divergences(
    *texts: str, claims: tuple[dict[str, Any], ...] = (), **margins: dict[str, str]
) -> list[tuple[str, str]]:
    """Margins of divergences printed so, called a, b, …, beside further claims."""
    data = records.manifest_data()
    cell = data["claims"][0]
    data["published"] = [
        {**data["published"][0], "id": name, "text": text}
        for name, text in zip("abcd", texts, strict=False)
    ]
    cells = [
        {**cell, "id": f"cell.{each['id']}", "published": each["id"]} for each in data["published"]
    ]
    for each in cells:
        del each["margin"]
        if each["published"] in margins:
            each["margin"] = margins[each["published"]]
    common = {key: cell[key] for key in ("statement", "place", "depends_on")}
    data["claims"] = [*cells, *({**common, "id": "it", **each} for each in claims)]
    found = Manifest.model_validate_json(json.dumps(data))
    refused = [(at, expected) for at, _, expected in problems_of(found, found.id) if "margin" in at]
    given = [each.margin for each in found.claims if isinstance(each, CellClaim)]
    return refused or [(each.value, each.origin) for each in given]


ABOVE = {"kind": "count", "basis": "measured", "published": "a", "of": ["cell.a"], "above": "1"}


def test_margins_are_half_the_way_to_the_nearest_border() -> None:
    assert divergences("0.70") == [("0.35", "half the distance from 0.70 to 0, no divergence")]
    spike = "half the distance from 0.70 to 1, a spike"
    # A threshold is one for every divergence.
    near, far = divergences("0.70", "0.20", claims=(ABOVE,))
    assert (near, far[0]) == (("0.15", spike), "0.10")
    order = {"kind": "ordering", "basis": "printed", "left": ["a"], "right": ["b"]}
    order["relation"] = "at-most"
    found = divergences("0.70", "0.90", claims=(order,))
    assert [value for value, _ in found] == ["0.10", "0.10"]
    # A check of our own draws none, and neither does a tie where no sentence says who wins.
    assert divergences("0.70", "0.90", claims=({**order, "standing": "beside"},))[0][0] == "0.35"
    assert divergences("0.70", "0.70", claims=(order,))[0][0] == "0.35"


def test_what_is_printed_twice_has_one_margin() -> None:
    same = {"kind": "repeat", "left": ["a"], "right": ["b"]}
    order = {"kind": "ordering", "basis": "printed", "left": ["b"], "right": ["c"]}
    order |= {"id": "order", "relation": "at-most"}
    found = divergences("0.70", "0.70", "0.90", claims=(same, order))
    assert [value for value, _ in found] == ["0.10", "0.10", "0.10"]
    found = divergences("0.60", "0.70", "0.90", claims=(same, order))  # it is not the same
    assert [value for value, _ in found] == ["0.30", "0.10", "0.10"]


def test_a_typed_margin_has_to_be_the_computed_one() -> None:
    typed = {"value": "0.350", "origin": "half the way to nothing"}
    assert divergences("0.70", a=typed) == [("0.350", "half the way to nothing")]
    ((at, expected),) = divergences("0.70", a={**typed, "value": "0.36"})
    assert at == "claims[0].margin.value"
    nearest = "half the distance from 0.70 to 0, no divergence"
    assert expected == f"0.35, {nearest}: leave it out, it is computed"


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path, records.manifest_data(toleranec="0.1"))
    assert [problem.found for problem in error.problems] == ["the unknown field 'toleranec'"]


def test_three_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    data = records.manifest_data()
    data["published"][0]["text"] = 0.2
    data["claims"][1]["margin"]["value"] = "about 0.1"
    data["jobs"][0]["dtypes"][1] = "fp16"
    error = refusal(tmp_path, data)
    assert len(error.problems) == 3
    text = str(error)
    for where in ("$.published[0].text", "$.claims[1].margin.value", "dtypes[1]"):
        assert where in text
    assert "0.2 (float)" in text
    assert 'expected: text in quotes, e.g. "0.03"' in text
    assert "Nothing was run or written" in text


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        ({"who": " "}, "who", "text that is not blank"),
        ({"when": "last week"}, "when", "a day, e.g. 2026-11-30"),
        ({"when": "2026-02-30"}, "when", "a day, e.g. 2026-11-30"),
        ({"when": 20261201}, "when", "a day, e.g. 2026-11-30"),
        ({"where": None}, "where", 'text in quotes, e.g. "0.03"'),
        ({"outcome": "reproduced"}, "outcome", "only fields of the schema"),
    ],
)
def test_a_malformed_answer_is_refused(
    tmp_path: Path, change: dict[str, Any], where: str, words: str
) -> None:
    data = records.manifest_data()
    data["claims"][0]["answers"] = [records.ANSWER, records.ANSWER | change]
    (problem,) = refusal(tmp_path, data).problems
    assert problem.where.endswith(f"$.claims[0].answers[1].{where}")
    assert problem.expected == words


BEYOND_NULL = {
    "id": "it",
    "kind": "ordering",
    "statement": "it",
    "place": {"section": "5"},
    "depends_on": [],
    "basis": "printed",
    "relation": "smaller-beyond-null",
    "left": ["T9.mamba-1.float16"],
    "right": ["T9.phi-1.float16"],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["claims"][2]["of"].append("T9.nobody"), "'T9.nobody', which is not defined"),
        (lambda d: d["claims"].append(d["claims"][0]), "the id 'T9.mamba-1.float16' 2 times"),
        (lambda d: d.update(id="table8"), "the file's name, 'table9'"),
        (lambda d: d["claims"].clear(), "at least 1 item"),
        (lambda d: d["claims"][0]["measure"].update(checkpoint="gpt-5"), "that one evaluation"),
        (lambda d: d["claims"][0]["depends_on"].append("triton"), "'triton', which is not defined"),
        (lambda d: d["jobs"][0]["tiers"]["full"]["settings"].append("x"), "'x', which is not"),
        (lambda d: d["claims"][0].pop("kind"), "kind"),
        (lambda d: d["claims"].append(BEYOND_NULL), "another one: no null divergence is printed"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    data = records.manifest_data()
    change(data)
    assert words in str(refusal(tmp_path, data))


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "EOF"), ("[]", "object"), ('{"id": 1, "id": 2}', "the key 'id' twice"), ("", "EOF")],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in str(refusal(tmp_path, text))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no.json", tmp_path):
        with pytest.raises(BadInputError, match="cannot read the manifest"):
            validate.load_manifest(path)


def test_manifests_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        records.manifest().title = "else"  # type: ignore[misc]
