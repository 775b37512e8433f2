"""The ledger of printed numbers. Oracle: ledgers, manifests and papers made up here."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made_up_paper import made_up_paper

from repro import paths
from repro.cli.main import main
from repro.coverage import coverage, numerals
from repro.coverage.numerals import SECTIONS
from repro.errors import BadInputError
from repro.schema import validate
from repro.schema.claims import AmbiguousClaim
from repro.schema.manifest import Manifest

# -----------------------------------------------------------------------------
# Made up


def entry(order: int, printed: str, **kept: Any) -> dict[str, Any]:
    """One line of a ledger."""
    return {"order": order, "sha256": hashlib.sha256(printed.encode()).hexdigest(), **kept}


def ledger_data(**sections: list[dict[str, Any]]) -> dict[str, Any]:
    """A ledger; sections that are not given print nothing."""
    return {
        "schema_version": 1,
        "paper": {"arxiv": "2406.00209", "version": "v2"},
        "reasons": {"hardware": "names a machine", "word": "is no quantity"},
        "sections": {name: sections.get(name, []) for name in SECTIONS},
    }


def written(folder: Path, data: Any) -> Path:
    path = folder / "numbers.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def manifest_data() -> dict[str, Any]:
    """A manifest of one claim that printed values decide."""
    place = {"section": "5"}
    values = [
        {"id": name, "text": text, "unit": "points", "place": place}
        for name, text in (("low", "0.1"), ("high", "0.2"))
    ]
    rises = {"kind": "monotone", "of": ["low", "high"], "direction": "rising"}
    says = {"statement": "it rises", "place": place, "depends_on": []}
    return {
        "schema_version": 1,
        "id": "m",
        "title": "",
        "paper": {"arxiv": "2406.00209", "version": "v2"},
        "packages": {},
        "settings": [],
        "jobs": [],
        "published": values,
        "claims": [{"id": "rises", **says, **rises}],
    }


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of one manifest, its ledger and a copy of its paper."""
    (tmp_path / "m.json").write_text(json.dumps(manifest_data()))
    monkeypatch.setattr(paths, "MANIFESTS", tmp_path)
    monkeypatch.setattr(paths, "CATALOG", tmp_path / "catalog")
    paths.CATALOG.mkdir()
    five = [entry(1, "0.2", claims=["m:rises"]), entry(2, "24", aside="hardware")]
    written(paths.CATALOG, ledger_data(**{"5": five, "F": [entry(1, "one", aside="word")]}))
    paper = {"5": "It is 0.2 on 24 GB.", "F": "One of them."}
    (tmp_path / "paper.txt").write_text(made_up_paper(**paper))
    return tmp_path


def change(**sections: list[dict[str, Any]]) -> None:
    """Replace sections of the made-up ledger."""
    path = paths.CATALOG / "numbers.json"
    data = json.loads(path.read_text())
    data["sections"] |= sections
    path.write_text(json.dumps(data))


# -----------------------------------------------------------------------------
# Reading


@pytest.mark.parametrize(
    ("given", "where", "expected"),
    [
        (entry(1, "5"), None, None),
        (entry(1, "5", claims=["a:b"], aside="word"), "$.sections.1[0]", "either claims or aside"),
        (entry(1, "5", claims=[]), None, None),
        (entry(1, "5", claims=["table1"]), "$.sections.1[0].claims[0]", "text that matches"),
        (entry(2, "5", aside="word"), "$.sections.1[0].order", "1: entries stand in order"),
        (entry(1, "5", aside="wrod"), "$.sections.1[0].aside", "one of hardware, word"),
        ({"order": 1, "sha256": "5"}, "$.sections.1[0].sha256", "a SHA-256 digest"),
        ({"order": 1}, "$.sections.1[0].sha256", "the field 'sha256'"),
        (entry(1, "5", text="5"), "$.sections.1[0].text", "only fields of the schema"),
        (entry("1", "5"), "$.sections.1[0].order", "valid integer"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_entry_is_named_with_both_sides(
    given: dict[str, Any], where: str | None, expected: str | None, tmp_path: Path
) -> None:
    path = written(tmp_path, ledger_data(**{"1": [given]}))
    if where is None or expected is None:
        assert coverage.load(path).sections["1"][0].kept_as == "unbound"
        return
    with pytest.raises(BadInputError) as caught:
        coverage.load(path)
    (problem,) = caught.value.problems
    assert problem.where == f"{path}: {where}"
    assert expected in problem.expected
    assert problem.found


def test_all_problems_of_a_ledger_at_once(tmp_path: Path) -> None:
    data = ledger_data(**{"1": [entry(3, "5", aside="a"), entry(2, "5", aside="b")]})
    del data["sections"]["E"]
    with pytest.raises(BadInputError) as caught:
        coverage.load(written(tmp_path, data))
    found = [problem.found for problem in caught.value.problems]
    assert found == ["no section 'E'", "3", "'a'", "'b'"]


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_file_that_is_no_ledger_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="not a valid ledger"):
        coverage.load(written(tmp_path, text))


def test_a_missing_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot read the ledger"):
        coverage.load(tmp_path / "numbers.json")


# -----------------------------------------------------------------------------
# The tally


def test_the_tally_counts_each_number_once(tmp_path: Path) -> None:
    entries = [
        entry(1, "0.2", claims=["m:a", "m:b"]),
        entry(2, "24", aside="hardware"),
        entry(3, "25", aside="hardware"),
        entry(4, "26"),
    ]
    found = coverage.tally(coverage.load(written(tmp_path, ledger_data(**{"5": entries}))), [])
    five = next(row for row in found.sections if row.section == "5")
    assert (five.numerals, five.bound, five.aside, five.unbound) == (4, 1, 2, 1)
    assert [(row.reason, row.numerals) for row in found.reasons] == [("hardware", 2), ("word", 0)]
    assert [(loose.order, loose.claim) for loose in found.dangling] == [(1, "m:a"), (1, "m:b")]
    assert [(loose.section, loose.order) for loose in found.unbound] == [("5", 4)]
    assert not found.complete


def test_a_claim_of_another_manifest_does_not_count(made_up: Path) -> None:
    loaded = validate.load(made_up / "m.json")
    for claim, dangles in (("m:rises", False), ("n:rises", True), ("m:falls", True)):
        change(**{"5": [entry(1, "0.2", claims=[claim])]})
        assert bool(coverage.tally(coverage.load(), [loaded]).dangling) is dangles


# -----------------------------------------------------------------------------
# The comparison


@pytest.mark.parametrize(
    ("five", "expected"),
    [
        ("It is 0.2 on 24 GB.", []),
        ("It is 0.3 on 24 GB.", [("5", 1, "0.3", "t:a")]),
        ("It is on 24 GB.", [("5", 1, None, "t:a")]),
        ("It is 0.2 on GB.", [("5", 2, None, "hardware")]),
        ("It is 0.2, so 7, on 24 GB.", [("5", 2, "7", None)]),
        ("It is 0.2 on 24 GB, 7.", [("5", 3, "7", None)]),
        ("It is 24 on 0.2 GB.", [("5", 1, "24", None), ("5", 2, None, "hardware")]),
        ("Is 0.2 on 24 GB.\n\n5.1 More\n\nAnd 8.", [("5.1", 1, "8", None)]),
    ],
)
def test_a_copy_s_differences_are_found_each_once(
    five: str, expected: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    entries = [entry(1, "0.2", claims=["t:a"]), entry(2, "24", aside="hardware")]
    ledger = coverage.load(written(tmp_path, ledger_data(**{"5": entries})))
    copy = tmp_path / "paper.txt"
    copy.write_text(made_up_paper(**{"5": five}))
    found = coverage.compare(ledger, numerals.from_file(copy))
    assert [(each.section, each.order, each.printed, each.ledger) for each in found] == expected


# -----------------------------------------------------------------------------
# The command line


@pytest.mark.usefixtures("made_up")
def test_coverage_exits_0_when_nothing_is_loose(capsys: Any) -> None:
    assert main(["list", "--coverage"]) == 0
    said = capsys.readouterr().out
    assert "every printed number is bound or set aside" in said
    assert ["all", "3", "1", "2", "0"] in [line.split() for line in said.splitlines()]
    assert "names a machine" in said


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(
    ("loose", "words"),
    [
        ({}, "section 5, number 1: neither bound nor set aside"),
        ({"claims": ["table9:x"]}, "section 5, number 1: bound to table9:x, which no manifest has"),
    ],
)
def test_coverage_exits_3_and_names_what_is_loose(
    loose: dict[str, Any], words: str, capsys: Any
) -> None:
    change(**{"5": [entry(1, "0.2", **loose)]})
    assert main(["list", "--coverage"]) == 3
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after", "code", "words"),
    [
        ("", "", 0, "3 numerals, all as in the ledger"),
        ("0.2", "0.3", 3, "section 5, number 1: the copy prints 0.3, the ledger has another"),
        (
            "24",
            "",
            3,
            "section 5, number 2: the copy lacks a number, the ledger has one (hardware)",
        ),
        ("24", "24 5", 3, "section 5, number 3: the copy prints 5, the ledger has none there"),
        ("24", "1 " * 12 + "24", 3, "and 2 more"),
    ],
)
def test_a_copy_is_held_against_the_ledger(
    before: str, after: str, code: int, words: str, made_up: Path, capsys: Any
) -> None:
    copy = made_up / "paper.txt"
    copy.write_text(copy.read_text().replace(before, after) if before else copy.read_text())
    assert main(["list", "--coverage", "--text", str(copy)]) == code
    assert words in capsys.readouterr().out


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("content", [None, b"\xff", b"no sections here"])
def test_a_copy_that_cannot_be_read_exits_2(
    content: bytes | None, tmp_path: Path, capsys: Any
) -> None:
    copy = tmp_path / "copy.txt"
    if content is not None:
        copy.write_bytes(content)
    assert main(["list", "--coverage", "--text", str(copy)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert str(copy) in said.err


def test_text_alone_exits_2(capsys: Any) -> None:
    assert main(["list", "--text", "paper.txt"]) == 2
    assert "--text paper.txt: found no --coverage" in capsys.readouterr().err


def test_coverage_as_json(made_up: Path, capsys: Any) -> None:
    assert main(["list", "--coverage", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text"] is None
    assert sum(row["bound"] for row in found["sections"]) == 1
    assert {row["reason"]: row["numerals"] for row in found["reasons"]} == {
        "hardware": 1,
        "word": 1,
    }
    copy = made_up / "paper.txt"
    copy.write_text(copy.read_text().replace("0.2", "0.3"))
    assert main(["list", "--coverage", "--json", "--text", str(copy)]) == 3
    text = json.loads(capsys.readouterr().out)["text"]
    assert (text["numerals"], len(text["differences"])) == (3, 1)
    assert text["differences"][0]["printed"] == "0.3"


# -----------------------------------------------------------------------------
# The committed ledger


def test_the_committed_ledger_leaves_nothing_loose() -> None:
    found = coverage.tally(coverage.load(), validate.load_manifests([]))
    assert found.unbound == ()
    assert found.dangling == ()
    assert all(reason.numerals for reason in found.reasons)


def printed_by(loaded: Manifest, claim: Any) -> set[str]:
    """Every numeral that a claim reads: of its published values, and how many it compares."""
    if isinstance(claim, AmbiguousClaim):
        readings = [each for each in loaded.claims if each.id in claim.readings]
        return {text for each in readings for text in printed_by(loaded, each)}
    names = {getattr(claim, "published", None)}
    names |= {name for field in ("of", "left", "right") for name in getattr(claim, field, ())}
    pairs = getattr(claim, "comparisons", ())
    values = [value for value in loaded.published if value.id in names]
    words = {word for value in values for word in numerals.numerals(value.word or "")}
    return words | {value.text for value in values} | ({str(len(pairs))} if pairs else set())


def test_numbers_are_bound_to_claims_that_read_them() -> None:
    """Oracle: the manifests' published values, which were typed apart from the ledger."""
    claims = {
        f"{loaded.id}:{claim.id}": (loaded, claim)
        for loaded in validate.load_manifests([])
        for claim in loaded.claims
    }
    strangers = []
    for section, entries in coverage.load().sections.items():
        for each in entries:
            bound = [claims[name] for name in each.claims]
            read = {text for loaded, claim in bound for text in printed_by(loaded, claim)}
            digests = {hashlib.sha256(text.encode()).hexdigest() for text in read}
            # An improvement claim names models, not values: the sizes stand in their names.
            decided = [c for _, c in bound if c.kind not in ("planned", "improvement")]
            if decided and read and each.sha256 not in digests:
                strangers.append((section, each.order, each.kept_as))
    assert strangers == []


def test_the_committed_ledger_has_one_entry_a_line() -> None:
    text = (paths.CATALOG / "numbers.json").read_text()
    lines = Counter(line.count('"order"') for line in text.splitlines())
    assert lines[1] == sum(len(entries) for entries in coverage.load().sections.values())
    assert set(lines) == {0, 1}
