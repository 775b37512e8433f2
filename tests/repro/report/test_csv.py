"""The table of findings. Oracles: the csv module, and rows of the page."""

import csv
import io

import made_up_report as made
import pytest

from repro.report import rows as claim_rows
from repro.report.csv import COLUMNS, as_csv, without_formula
from repro.schema.causes import cause, say


def read(text: str) -> list[dict[str, str]]:
    """Rows as a spreadsheet reads them: the mark is no part of the first name."""
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_one_row_a_finding_with_everything_that_the_page_says() -> None:
    seen = made.everything(findings=30, name=made.HOSTILE)
    rows, table = claim_rows.rows(seen), read(as_csv(seen))
    assert len(table) == len(rows) >= 30
    for row, cells in zip(rows, table, strict=True):
        found = row.finding
        assert (cells["manifest"], cells["claim"]) == (row.manifest, found.claim)
        assert (cells["outcome"], cells["tier"]) == (found.outcome, row.tier)
        assert cells["records"].split() == list(found.records)
        assert cells["section"] == row.section
        for name in ("published", "measured", "margin", "reason", "statement"):
            assert cells[name] == without_formula(getattr(found, name))


def test_what_a_check_would_have_caught_has_a_column() -> None:
    caught = cause("controls-caught", count=2)
    finding = made.finding(0, working=(caught, "m = 0.3"))
    text = as_csv(made.seen(runs=(made.run([finding]),)))
    (cells,) = (row for row in read(text) if row["claim"] == finding.claim)
    assert cells["would have caught"] == say(caught)
    assert cells["working"] == "m = 0.3"


def test_what_stood_in_is_never_a_measurement_of_the_papers_model() -> None:
    """In the column `measured` is a dash; the twin's number has a column that says so."""
    why = (cause("tier-and-stand-in", tier="smoke", checkpoint="twin-mamba"), "off")
    finding = made.finding(0, "inconclusive", causes=why)
    text = as_csv(made.seen(runs=(made.run([finding], tier="smoke"),)))
    (cells,) = (row for row in read(text) if row["claim"] == finding.claim)
    assert (cells["measured"], cells["stand-ins"]) == ("—", "twin-mamba")
    assert cells["measured of stand-ins"] == finding.measured
    assert cells["causes"] == "tier-and-stand-in no-record"


def test_quotes_commas_and_line_ends_come_back() -> None:
    reason = 'a "quoted" word, a comma\nand a second line; ± λ'
    text = as_csv(made.seen(runs=(made.run([made.finding(0, causes=reason)]),)))
    assert any(cells["reason"] == reason for cells in read(text))


def test_it_is_rfc_4180_with_the_mark_of_utf_8() -> None:
    text = as_csv(made.everything())
    assert text.encode().startswith(b"\xef\xbb\xbfmanifest,section,")
    lines = text.split("\r\n")
    assert lines[-1] == ""  # the last line ends too
    assert not any("\n" in line for line in lines if '"' not in line)
    widths = {len(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)}
    assert widths == {len(COLUMNS)}


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        '=HYPERLINK("x")',
        "-0.3 points",
        "-inf",
        "\t=1",
        "\r=1",
        " =1",
        "＝1",
        "--1",
    ],
)
def test_a_formula_becomes_text(text: str) -> None:
    assert without_formula(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-0.3", "+12", "-1.5e-07", "0.10", "", "—", "± 0.1", "a=b", "'x"])
def test_numbers_and_words_stay(text: str) -> None:
    assert without_formula(text) == text


def test_a_printed_number_is_a_number_to_programs() -> None:
    """Quoted, or with an apostrophe, it would be none, whatever a spreadsheet makes of it."""
    printed = ("1.10", "0.03", "-0.3", "1.45", "2.2024")
    findings = [made.finding(number, published=text) for number, text in enumerate(printed)]
    text = as_csv(made.seen(runs=(made.run(findings),)))
    assert {cells["published"] for cells in read(text)} >= set(printed)
    assert not any(f'"{each}"' in text or f"'{each}" in text for each in printed)


def test_no_cell_of_a_hostile_finding_is_a_formula() -> None:
    hostile = made.finding(
        0, **dict.fromkeys(("causes", "measured", "statement"), "=cmd|'/c x'!A1")
    )
    text = as_csv(made.seen(runs=(made.run([hostile]),)))
    cells = [cell for row in read(text) for cell in row.values()]
    assert sum(cell == "'=cmd|'/c x'!A1" for cell in cells) == 3
    assert not any(cell.startswith("=") for cell in cells)


def test_equal_findings_give_equal_bytes() -> None:
    assert as_csv(made.everything()) == as_csv(made.everything())
