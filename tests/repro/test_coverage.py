"""The ledger of sentences. Oracle: sentences, ledgers, manifests and papers made up here."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from made_up_paper import made_up_paper

from repro import coverage, paths
from repro.cli.main import main
from repro.coverage import REASONS, Aside, Entry, Sentence
from repro.errors import BadInputError
from repro.schema import validate
from repro.schema.manifest import Manifest
from repro.schema.paper import PaperVersion
from tools import describe_sentences

SECTIONS = ("abstract", *"123456", *"ABCDEF")
"""Of the first bundle's paper."""

PAPER = "REPRO_PAPER_TEXT"
"""Environment variable that names a copy of the paper, which the repository cannot hold."""

NOTHING = "Nothing is counted here."
"""What `made_up_paper` says in every section that is not given."""


def digest(text: str) -> str:
    """Of a text without blanks, which is all that these have to be without."""
    return hashlib.sha256(text.replace(" ", "").encode()).hexdigest()


def entry(order: int, said: str, **kept: Any) -> dict[str, Any]:
    """One line of a ledger."""
    return {"order": order, "sha256": digest(said), **kept}


def ledger_data(**sections: list[dict[str, Any]]) -> dict[str, Any]:
    """A ledger; sections that are not given say what `made_up_paper` says."""
    return {
        "schema_version": 2,
        "paper": {"id": "2406.00209", "version": "v2"},
        "sections": {
            name: sections.get(name, [entry(1, NOTHING, aside="plan")]) for name in SECTIONS
        },
    }


def written(folder: Path, data: Any) -> Path:
    path = folder / "sentences.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def manifest_data(version: str = "v2", **said: Any) -> dict[str, Any]:
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
        "paper": {"id": "2406.00209", "version": version},
        "packages": {},
        "settings": [],
        "jobs": [],
        "published": values,
        "claims": [{"id": "rises", **says, **rises, **said}],
    }


def manifest_at(folder: Path, data: dict[str, Any]) -> Manifest:
    path = folder / "m.json"
    path.write_text(json.dumps(data))
    return validate.load_manifest(path)


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of one manifest, its ledger and a copy of its paper."""
    for folder in ("manifests", "catalog"):
        (tmp_path / folder).mkdir()
    shutil.copy(paths.ROOT / paths.PAPER, tmp_path)
    (tmp_path / "manifests" / "m.json").write_text(json.dumps(manifest_data(quote="It is 0.2")))
    monkeypatch.setenv("REPRO_BUNDLE", str(tmp_path))
    five = [entry(1, "It is 0.2.", claims=["m:rises"]), entry(2, "On 24 GB.", aside="setup")]
    written(tmp_path / "catalog", ledger_data(**{"5": five}))
    (tmp_path / "paper.txt").write_text(made_up_paper(**{"5": "It is 0.2. On 24 GB."}))
    return tmp_path


def change(**sections: list[dict[str, Any]]) -> None:
    """Replace sections of the made-up ledger."""
    path = paths.bundle().catalog / "sentences.json"
    data = json.loads(path.read_text())
    data["sections"] |= sections
    path.write_text(json.dumps(data))


# -----------------------------------------------------------------------------
# Sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is. Two are! Three?", ["One is.", "Two are!", "Three?"]),
        ("So e.g. Mamba, i.e. A, by X et al. Now.", ["So e.g. Mamba, i.e. A, by X et al. Now."]),
        ("RNNs, LSTMs, etc. Of v2.2.2 and 0.5.", ["RNNs, LSTMs, etc. Of v2.2.2 and 0.5."]),
        ("It is **so.** *Then* (it is.) [4] is.", ["It is **so.", "*Then* (it is.", "[4] is."]),
        ("Theorem 1. *Let it be.* Proof. It is.", ["Theorem 1. *Let it be.", "Proof. It is."]),
        ("A page\n\nbreaks. Another", ["A page breaks.", "Another"]),
        ("A page ends.\n\nanother begins", ["A page ends.", "another begins"]),
        ("We write\n\n$$x = 1.$$\n\nThus, y.", ["We write $$x = 1.$$", "Thus, y."]),
        ("We write\n\n$$x,$$\n\nwhere y.", ["We write $$x,$$ where y."]),
        ("We write\n\n$$x$$\n\nThus y.", ["We write $$x$$", "Thus y."]),
        (r"It is 0. \square" + "\n\nA next.\n\n□\n", ["It is 0.", "A next."]),
        ("A line\nof two.", ["A line of two."]),
        (
            "We go\n\n*A note, of [3].\n\nTable 1: Caption. More.\n\nS\t1\nT\t2\n\non.",
            ["We go on.", "*A note, of [3].", "Table 1: Caption.", "More.", "S\t1", "T\t2"],
        ),
        ("**Figure 2:** is\n\nFigure 2: A b.", ["**Figure 2:** is", "Figure 2: A b."]),
        ("*Emphasis* goes\n\non.", ["*Emphasis* goes on."]),
        (" \n\n \n", []),
    ],
)
def test_sentences_are_taken_as_a_reader_does(text: str, expected: Sequence[str]) -> None:
    found = [each.strip() for each in coverage.sentences(text)]
    marks = "*)"
    assert [each.rstrip(marks) for each in found] == [each.rstrip(marks) for each in expected]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (r"when $\lambda_{\max} \leq 0$", "when λ_max ≤ 0"),
        (r"$\mathbf{W} \in \mathbb{R}^{T \times 3d}$ is", "W ∈ R^{T×3d} is"),
        (r"$\bar{\mathbf{B}}_t = \mathbf{A}^{-1}$", "B̄_t = A^{−1}"),
        ("Mamba’s “own” — *so*", 'Mamba\'s "own" -so'),
        (r"$\sim 300\text{B}$", "∼300B"),
        ("a ϵ close", r"a $\varepsilon$ close"),
        ("ﬁne-tuning", "fine-tuning"),
    ],
)
def test_markup_and_kinds_of_signs_are_no_difference(left: str, right: str) -> None:
    assert coverage.normalised(left) == coverage.normalised(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("0.2", "02"), ("x ≤ 0", "x < 0"), ("-1", "1"), ("50%", "50"), ("✓", "✗"), ("A", "a")],
)
def test_what_changes_what_is_said_is_a_difference(left: str, right: str) -> None:
    assert coverage.normalised(left) != coverage.normalised(right)


def test_the_digest_is_of_the_normalised_text() -> None:
    assert Sentence("1", 1, "It *is* 0.2.").sha256 == digest("It is 0.2.")


# -----------------------------------------------------------------------------
# Sections


def test_only_some_sections_are_read_and_headings_are_no_sentences(tmp_path: Path) -> None:
    paper = tmp_path / "paper.txt"
    paper.write_text(
        made_up_paper(
            **{
                "abstract": "It is 1.",
                "5": "It is 2.\n\n5.1 Two or more\n\nIt is 4. Then 5.\n\n## 5.2 More\n\nSix",
                "6": "It is 7.\n\n7 Thanks\n\nTo 8 people.",
                "references": "- [9] Nine pages, 9.",
                "C": "It is 10.",
            }
        )
    )
    found = coverage.read_paper(paper)
    said = [(each.section, each.order, each.text) for each in found if each.text != NOTHING]
    assert said == [
        ("abstract", 1, "It is 1."),
        ("5", 1, "It is 2."),
        ("5.1", 1, "It is 4."),
        ("5.1", 2, "Then 5."),
        ("5.2", 1, "Six"),
        ("6", 1, "It is 7."),
        ("C", 1, "It is 10."),
    ]
    assert {each.section.split(".")[0] for each in found} == set(SECTIONS)


@pytest.mark.parametrize(
    "line",
    [
        "6 Lines that end with a full stop.",
        "6 lines in small letters",
        "6\tTable\tcells",
        "6 " + "Words that are too many for a title, " * 3,
        "130M Models",
    ],
)
def test_lines_that_are_no_headings(line: str) -> None:
    assert coverage.sections(f"1 Start\n\n{line}\n\nEnd", SECTIONS)["1"].split() == [
        *line.split(),
        "End",
    ]


def test_a_heading_stands_between_blank_lines() -> None:
    assert list(coverage.sections("1 Start\n\nText\n6 Not a heading\n\n5 End\n", ())) == ["1", "5"]


def test_markdown_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    plain, other = tmp_path / "plain.txt", tmp_path / "other.md"
    text = made_up_paper(**{"3": "It is 0.5.", "E": "a\t0.25"})
    text = text[text.index("Abstract") :]  # the byte order mark stands before a heading
    plain.write_text(text)
    marked = text.replace("Abstract", "# **Abstract**").replace("3 Some title", "## 3 Some title")
    other.write_bytes(b"\xef\xbb\xbf" + marked.replace("\n", "\r\n").encode())
    assert coverage.read_paper(other) == coverage.read_paper(plain)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\xff\xfe1\x00", "not UTF-8 text (byte 0)"),
        (b"", "found no heading of abstract, 1, 2"),
        (made_up_paper().replace("4 Some", "4: Some").encode(), "found no heading of 4;"),
    ],
)
def test_a_file_that_is_not_the_paper_gets_one_message(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "paper.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        coverage.read_paper(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


# -----------------------------------------------------------------------------
# Reading a ledger


@pytest.mark.parametrize(
    ("given", "where", "expected"),
    [
        (entry(1, "5"), None, None),
        (entry(1, "5", claims=["a:b"], aside="plan"), "$.sections.1[0]", "either claims or aside"),
        (entry(1, "5", claims=[]), None, None),
        (entry(1, "5", claims=["table1"]), "$.sections.1[0].claims[0]", "text that matches"),
        (entry(2, "5", aside="plan"), "$.sections.1[0].order", "1: entries stand in order"),
        (entry(1, "5", aside="paln"), "$.sections.1[0].aside", "'plan'"),
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
    data = ledger_data(**{"1": [entry(3, "5"), entry(3, "5")]})
    del data["sections"]["E"]
    with pytest.raises(BadInputError) as caught:
        coverage.load(written(tmp_path, data))
    assert [problem.found for problem in caught.value.problems] == ["no section 'E'", "3", "3"]


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_file_that_is_no_ledger_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="not a valid ledger"):
        coverage.load(written(tmp_path, text))


def test_a_missing_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot read the ledger"):
        coverage.load(tmp_path / "sentences.json")


def test_the_reasons_are_those_that_an_entry_may_name() -> None:
    assert set(REASONS) == set(get_args(Aside))


# -----------------------------------------------------------------------------
# The tally


def test_the_tally_counts_each_sentence_once(tmp_path: Path) -> None:
    entries = [
        entry(1, "0.2", claims=["m:a", "m:b"]),
        entry(2, "24", aside="setup"),
        entry(3, "25", aside="setup"),
        entry(4, "26"),
    ]
    found = coverage.tally(coverage.load(written(tmp_path, ledger_data(**{"5": entries}))), [])
    five = next(row for row in found.sections if row.section == "5")
    assert (five.sentences, five.bound, five.aside, five.unbound) == (4, 1, 2, 1)
    assert (found.reasons["setup"], found.reasons["opinion"]) == (2, 0)
    assert [(loose.order, loose.claim) for loose in found.dangling] == [(1, "m:a"), (1, "m:b")]
    assert [(loose.section, loose.order) for loose in found.unbound] == [("5", 4)]
    assert not found.complete


def test_a_claim_of_another_manifest_does_not_count(made_up: Path) -> None:
    loaded = validate.load_manifest(made_up / "manifests" / "m.json")
    for claim, dangles in (("m:rises", False), ("n:rises", True), ("m:falls", True)):
        change(**{"5": [entry(1, "0.2", claims=[claim])]})
        assert bool(coverage.tally(coverage.load(), [loaded]).dangling) is dangles


@pytest.mark.parametrize(
    ("data", "unplaced"),
    [
        (manifest_data(), ["m:rises"]),
        (manifest_data(standing="step"), []),
        (manifest_data(standing="beside"), []),
        (manifest_data("v3"), []),
    ],
)
def test_a_printed_claim_needs_a_sentence(
    data: dict[str, Any], unplaced: list[str], tmp_path: Path
) -> None:
    ledger = coverage.load(written(tmp_path, ledger_data()))
    found = coverage.tally(ledger, [manifest_at(tmp_path, data)])
    assert list(found.unplaced) == unplaced
    assert found.complete is not bool(unplaced)


def test_a_reading_stands_where_its_sentence_does(tmp_path: Path) -> None:
    data = manifest_data()
    says = {"statement": "it rises", "place": {"section": "5"}, "depends_on": []}
    sentence = {"id": "s", "kind": "ambiguous", **says, "missing": "how", "readings": ["rises"]}
    data["claims"].append(sentence)
    loaded = manifest_at(tmp_path, data)
    five = [entry(1, "It is.", claims=["m:s"])]
    for sections, unplaced in (({"5": five}, []), ({}, ["m:s"])):
        ledger = coverage.load(written(tmp_path, ledger_data(**sections)))
        assert list(coverage.tally(ledger, [loaded]).unplaced) == unplaced


# -----------------------------------------------------------------------------
# The comparison


@pytest.mark.parametrize(
    ("five", "expected"),
    [
        ("It is 0.2. On 24 GB.", []),
        ("It is **0.2**. On\n24 GB.", []),
        ("It is 0.3. On 24 GB.", [("5", 1, "It is 0.3.", "t:a")]),
        ("On 24 GB.", [("5", 1, None, "t:a")]),
        ("It is 0.2.", [("5", 2, None, "setup")]),
        ("It is 0.2. So 7. On 24 GB.", [("5", 2, "So 7.", None)]),
        ("It is 0.2. On 24 GB. So 7.", [("5", 3, "So 7.", None)]),
        ("On 24 GB. It is 0.2.", [("5", 1, "On 24 GB.", None), ("5", 2, None, "setup")]),
        ("It is 0.2. On 24 GB.\n\n5.1 More\n\nAnd 8.", [("5.1", 1, "And 8.", None)]),
    ],
)
def test_a_copy_s_differences_are_found_each_once(
    five: str, expected: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    entries = [entry(1, "It is 0.2.", claims=["t:a"]), entry(2, "On 24 GB.", aside="setup")]
    ledger = coverage.load(written(tmp_path, ledger_data(**{"5": entries})))
    copy = tmp_path / "paper.txt"
    copy.write_text(made_up_paper(**{"5": five}))
    found = coverage.compare(ledger, coverage.read_paper(copy)).differences
    assert [(each.section, each.order, each.printed, each.ledger) for each in found] == expected


@pytest.mark.parametrize(
    ("quote", "bound", "misquoted"),
    [
        ("is *0.2*", True, False),
        ("is 0.3", True, True),
        ("24 GB", True, True),  # another sentence than the one it is bound to
        ("24 GB", False, False),
        ("It is 0.2. On", False, True),  # no sentence
        (None, True, False),
    ],
)
def test_a_quote_is_printed_in_the_sentence_of_its_claim(
    quote: str | None, *, bound: bool, misquoted: bool, tmp_path: Path
) -> None:
    kept = {"claims": ["m:rises"]} if bound else {"aside": "plan"}
    entries = [entry(1, "It is 0.2.", **kept), entry(2, "On 24 GB.", aside="setup")]
    ledger = coverage.load(written(tmp_path, ledger_data(**{"5": entries})))
    copy = [Sentence("5", 1, "It is 0.2."), Sentence("5", 2, "On 24 GB.")]
    loaded = manifest_at(tmp_path, manifest_data(quote=quote))
    found = coverage.compare(ledger, copy, [loaded]).misquoted
    assert found == (("m:rises",) if misquoted else ())
    other = loaded.model_copy(update={"paper": ledger.paper.model_copy(update={"version": "v3"})})
    assert coverage.compare(ledger, copy, [other]).misquoted == ()


# -----------------------------------------------------------------------------
# The tool that makes the ledger


def test_the_tool_keeps_what_is_known_of_a_sentence() -> None:
    copy = [Sentence("1", 1, "New."), Sentence("1", 2, "Twice."), Sentence("2", 1, "Twice.")]
    known = [
        Entry(order=7, sha256=digest("Twice."), claims=("a:b",)),
        Entry(order=8, sha256=digest("Twice."), aside="plan"),
        Entry(order=9, sha256=digest("Gone."), aside="plan"),
    ]
    made = json.loads(describe_sentences.describe(copy, known, PaperVersion(id="1", version="v2")))
    assert made["sections"] == {
        "1": [entry(1, "New."), entry(2, "Twice.", claims=["a:b"])],
        "2": [entry(1, "Twice.", aside="plan")],
    }


def test_the_tool_makes_a_ledger_of_the_copy_that_it_was_given(made_up: Path) -> None:
    made = describe_sentences.main(made_up / "paper.txt")
    assert json.loads(made) == json.loads((made_up / "catalog" / "sentences.json").read_text())
    (made_up / "catalog" / "sentences.json").unlink()
    path = written(made_up, describe_sentences.main(made_up / "paper.txt"))
    entries = [each for section in coverage.load(path).sections.values() for each in section]
    assert {each.kept_as for each in entries} == {"unbound"}


# -----------------------------------------------------------------------------
# The command line


@pytest.mark.usefixtures("made_up")
def test_coverage_exits_0_when_nothing_is_loose(capsys: Any) -> None:
    assert main(["list", "--coverage"]) == 0
    said = capsys.readouterr().out
    assert "every sentence is bound or set aside, every printed claim has one" in said
    assert ["all", "14", "1", "13", "0"] in [line.split() for line in said.splitlines()]
    assert "says what was set up or left out" in said


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(
    ("loose", "words"),
    [
        ({}, "section 5, sentence 1: neither bound nor set aside"),
        (
            {"claims": ["table9:x"]},
            "section 5, sentence 1: bound to table9:x, which no manifest has",
        ),
        ({"aside": "plan"}, "m:rises: is printed, and no sentence is bound to it"),
    ],
)
def test_coverage_exits_3_and_names_what_is_loose(
    loose: dict[str, Any], words: str, capsys: Any
) -> None:
    change(**{"5": [entry(1, "It is 0.2.", **loose)]})
    assert main(["list", "--coverage"]) == 3
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after", "code", "words"),
    [
        ("", "", 0, "14 sentences, all as in the ledger"),
        ("0.2", "0.3", 3, "section 5, sentence 1: the copy prints 'It is 0.3.', the ledger has"),
        ("0.2", "0.3", 3, "m:rises: its quote is not in the copy's sentence, or in none"),
        (
            "On 24 GB.",
            "",
            3,
            "section 5, sentence 2: the copy lacks a sentence, the ledger has one (setup)",
        ),
        ("GB.", "GB. So 5.", 3, "sentence 3: the copy prints 'So 5.', the ledger has none there"),
        ("On", "So. " * 12 + "On", 3, "and 2 more"),
        ("On 24 GB.", "Long " * 30, 3, "Long Long …"),
    ],
)
def test_a_copy_is_held_against_the_ledger(
    before: str, after: str, code: int, words: str, made_up: Path, capsys: Any
) -> None:
    copy = made_up / "paper.txt"
    copy.write_text(copy.read_text().replace(before, after) if before else copy.read_text())
    assert main(["list", "--coverage", "--text", str(copy)]) == code
    assert words in " ".join(capsys.readouterr().out.split())


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
    assert found["reasons"] == dict.fromkeys(REASONS, 0) | {"setup": 1, "plan": 12}
    copy = made_up / "paper.txt"
    copy.write_text(copy.read_text().replace("0.2", "0.3"))
    assert main(["list", "--coverage", "--json", "--text", str(copy)]) == 3
    text = json.loads(capsys.readouterr().out)["text"]
    assert (text["sentences"], len(text["differences"])) == (14, 1)
    assert text["differences"][0]["printed"] == "It is 0.3."
    assert text["misquoted"] == ["m:rises"]


# -----------------------------------------------------------------------------
# The committed ledger, and the paper itself


def test_the_committed_ledger_leaves_nothing_loose() -> None:
    found = coverage.tally(coverage.load(), validate.load_manifests([]))
    assert (found.unbound, found.dangling, found.unplaced) == ((), (), ())
    assert all(found.reasons.values())


def test_the_tally_of_the_committed_ledger() -> None:
    """Every sentence of v2: how many are checked, and how many need no claim."""
    found = coverage.tally(coverage.load(), validate.load_manifests([]))
    counts = [(row.sentences, row.bound, row.aside) for row in found.sections]
    assert tuple(map(sum, zip(*counts, strict=True))) == (332, 165, 167)
    assert {row.section.split(".")[0] for row in found.sections} == set(SECTIONS)


def test_every_row_of_a_table_is_bound_to_the_cells_of_its_own_manifest() -> None:
    """Oracle: 24, 34, 70 and 14 cells, counted in the paper's tables."""
    bound = Counter(
        name.partition(":")[0]
        for entries in coverage.load().sections.values()
        for each in entries
        for name in each.claims
        if name.partition(":")[2].startswith(("T1.", "T3.m", "T3.p", "T3.o", "T4.", "T5."))
        and not name.endswith((".repeat", ".minority", ".regularises"))
    )
    assert bound == {"table1": 24, "table3": 34, "table4": 70, "table5": 14}


def test_the_committed_ledger_has_one_entry_a_line() -> None:
    text = (paths.CATALOG / "sentences.json").read_text()
    lines = Counter(line.count('"order"') for line in text.splitlines())
    assert lines[1] == sum(len(entries) for entries in coverage.load().sections.values())
    assert set(lines) == {0, 1}


def test_the_committed_ledger_is_that_of_a_copy_of_the_paper() -> None:
    """Oracle: the paper, where whoever runs the tests has a copy."""
    if PAPER not in os.environ:
        pytest.skip(f"{PAPER} names no copy of the paper")
    found = coverage.read_paper(Path(os.environ[PAPER]))
    compared = coverage.compare(coverage.load(), found, validate.load_manifests([]))
    assert (compared.differences, compared.misquoted) == ((), ())
