"""Extraction of printed numbers. Oracle: what a reader counts in sentences made up here."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from made_up_paper import made_up_paper

from repro.coverage import coverage, numerals
from repro.coverage.numerals import EXCLUDED, SECTIONS, WORDS, Numeral
from repro.errors import BadInputError

PAPER = "REPRO_PAPER_TEXT"
"""Environment variable that names a copy of the paper, which the repository cannot hold."""


# -----------------------------------------------------------------------------
# Rules


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("38% of 242,000, and 1,2 of them", ["38", "242,000", "1", "2"]),
        ("1,234,567.5 or 12,3456", ["1,234,567.5", "12", "3456"]),
        ("a rate of 1.0e-5, not 2E+3 nor 4e", ["1.0e-5", "2E+3", "4"]),
        ("from -0.3 to −2 (-1)", ["-0.3", "−2", "-1"]),
        ("a range 0.1-0.3 and 2–4 and x-y 5", ["0.1", "0.3", "2", "4", "5"]),
        ("130M, 1.4B, 24GB, 3d, 1-shot, 3- and 5-shot", ["130", "1.4", "24", "3", "1", "3", "5"]),
        (r"$\{0, 1, 3, 5\}$ -shot and {1, 3}-shot", ["0", "1", "3", "5", "1", "3"]),
        (r"$\sim 300\text{B}$ tokens", ["300"]),
        ("4.40.0.dev0, 2.2.1+cu121, v2.2.2", ["4.40.0.dev0", "2.2.1+cu121", "2.2.2"]),
        ("versions 0.4.2. Then 2.0.", ["0.4.2", "2.0"]),
        ("Size\t130M\t\t1.4B\nFP16 μ\t0.03\t1.45", ["130", "1.4", "0.03", "1.45"]),
        ("2+3, n+1", ["2", "3", "1"]),
        ("Zero-shot, Once or TWICE; one", ["zero", "once", "twice", "one"]),
        ("half, halve; halves, halved", ["half", "halve"]),
        ("none, someone, often, weights, fourth, tension", []),
    ],
)
def test_numerals_are_taken_as_printed(text: str, printed: Sequence[str]) -> None:
    assert numerals.numerals(text) == printed


@pytest.mark.parametrize("word", WORDS)
def test_every_number_word_counts(word: str) -> None:
    assert numerals.numerals(f"{word.title()} things, {word}-fold; un{word} {word}x") == [word] * 2


@pytest.mark.parametrize(
    ("rule", "excluded", "kept", "printed"),
    [
        ("address", "see https://a.b/v-2.5?x=3 there", "at a.b/ 2.5 and 3", ["2.5", "3"]),
        ("address", "<http://a.b/7>", "<7>", ["7"]),
        ("address", "to jo.12.doe@a.b now", "12 at a.b", ["12"]),
        ("citation", "as shown [21]", "in the range [0.5, 21]", ["0.5", "21"]),
        ("citation", "as shown [21, 11,3]", "t in [1, T]", ["1"]),
        ("reference", "Figure 5.1 shows", "the figure 5.1", ["5.1"]),
        ("reference", "by Theorem 3’s proof", "Theorem B, 3 proofs", ["3"]),
        ("reference", "Equations 1 and 2 and so on", "Equation A and 2", ["2"]),
        ("reference", "Tables 1, 2, and 3", "In Tables, 2 and 3", ["2", "3"]),
        ("reference", "Lemma 1", "Dilemma 1", ["1"]),
        ("reference", "Section 3.1.1.", "Sectional 3", ["3"]),
        ("equation number", r"x = y \tag{4}", r"x = \frac{4}", ["4"]),
        ("equation number", r"x, \quad (4)", r"x, (4)", ["4"]),
        ("index", r"\mathbf{x}_0", r"\mathbf{x} 0", ["0"]),
        ("index", r"\mathbf{A}^{-1}", r"\mathbf{A}{-1}", ["-1"]),
        ("index", r"\prod_{t=0}^{T-1}", r"\{0, \dots, T\}", ["0"]),
        ("index", r"\|\cdot\|_2", r"\|\cdot\| 2", ["2"]),
        ("name", "FP32", "FP 32", ["32"]),
        ("name", "Mamba-2 and Phi-1.5", "Mamba -2 and Phi 1.5", ["-2", "1.5"]),
        ("name", "an A10G", "an A, 10G", ["10"]),
        ("name", "org/model-130m-hf", "org/model/130m", ["130"]),
        ("name", "step80000-tokens336B", "336B-token", ["336"]),
        ("name", "dense_h_to_4h", "h to 4h", ["4"]),
        ("name", "OpenThing-2.5.1", "OpenThing v2.5.1", ["2.5.1"]),
    ],
)
def test_each_rule_excludes_its_case_and_keeps_the_near_miss(
    rule: str, excluded: str, kept: str, printed: Sequence[str]
) -> None:
    assert numerals.numerals(excluded) == []
    assert rule in {name for name, _ in numerals.scan(excluded)}
    assert numerals.numerals(kept) == printed


def test_a_list_after_a_single_reference_is_no_list_of_references() -> None:
    assert numerals.numerals("In Figure 3, 5 models are shown, in Table 2 and 4 more.") == [
        "5",
        "4",
    ]


def test_every_rule_has_its_name_in_the_scan() -> None:
    text = r"a@b [1] Table 1 \tag{1} {x}_1 FP32 1.2.3 5 six"
    assert {rule for rule, _ in numerals.scan(text)} == {*EXCLUDED, "version", "number", "word"}


# -----------------------------------------------------------------------------
# Sections


def test_only_some_sections_are_read_and_headings_are_not_counted(tmp_path: Path) -> None:
    paper = tmp_path / "paper.txt"
    paper.write_text(
        made_up_paper(
            **{
                "abstract": "It is 1.",
                "5": "It is 2.\n\n5.1 Two or 3 more\n\nIt is four, then 5.\n\n## 5.2 More\n\n6",
                "6": "It is 7.\n\n7 Thanks\n\nTo 8 people.",
                "references": "- [9] Nine pages, 9.",
                "C": "It is 10.",
                "D": "It is 11.",
                "F": "It is 12.",
            }
        )
    )
    assert [(each.section, each.order, each.text) for each in numerals.from_file(paper)] == [
        ("abstract", 1, "1"),
        ("5", 1, "2"),
        ("5.1", 1, "four"),
        ("5.1", 2, "5"),
        ("5.2", 1, "6"),
        ("6", 1, "7"),
        ("D", 1, "11"),
        ("F", 1, "12"),
    ]


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
    assert numerals.sections(f"1 Start\n\n{line}\n\nEnd")["1"].split() == [*line.split(), "End"]


def test_a_heading_stands_between_blank_lines() -> None:
    assert list(numerals.sections("1 Start\n\nText\n6 Not a heading\n\n5 End\n")) == ["1", "5"]


def test_markdown_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    plain, other = tmp_path / "plain.txt", tmp_path / "other.md"
    text = made_up_paper(**{"3": "It is 0.5.", "E": "a\t0.25"})
    text = text[text.index("Abstract") :]  # the byte order mark stands before a heading
    plain.write_text(text)
    marked = text.replace("Abstract", "# **Abstract**").replace("3 Some title", "## 3 Some title")
    other.write_bytes(b"\xef\xbb\xbf" + marked.replace("\n", "\r\n").encode())
    assert numerals.from_file(other) == numerals.from_file(plain)


def test_the_digest_is_of_the_numeral_as_printed() -> None:
    assert Numeral("1", 1, "242,000").sha256 == hashlib.sha256(b"242,000").hexdigest()


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
        numerals.from_file(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


# -----------------------------------------------------------------------------
# The paper itself


def test_the_committed_ledger_is_that_of_a_copy_of_the_paper() -> None:
    """Oracle: the paper, where whoever runs the tests has a copy."""
    if PAPER not in os.environ:
        pytest.skip(f"{PAPER} names no copy of the paper")
    found = numerals.from_file(Path(os.environ[PAPER]))
    assert {each.section.split(".")[0] for each in found} == {*SECTIONS} - {"2"}  # prints none
    assert coverage.compare(coverage.load(), found) == []
