"""Tables for a report. Oracles: the csv module, and findings made up here."""

import csv
import io
import re

import made_up_report as made
import pytest

from repro import paths
from repro.report import page
from repro.report.view import tables
from repro.schema import validate
from repro.schema.causes import Estimate, cause


def table1(**changes: object) -> dict[str, tables.Table]:
    manifest = validate.load_manifest(paths.MANIFESTS / "table1.json")
    number = Estimate(label="measured", value=0.05, low=0.04, high=0.06, unit="points")
    fields = {"measured": "0.05 (7 settings: 0.04 to 0.06)", "estimates": (number,), **changes}
    one = made.finding(0, "reproduced", claim="T1.mamba-130m.float16", **fields)
    return page.view(made.seen([manifest], runs=(made.run([one], manifest="table1"),))).tables


def test_csv_has_a_line_a_printed_number() -> None:
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(table1()), newline="")))
    assert len(rows) == 24
    (row,) = (row for row in rows if (row["row"], row["column"]) == ("FP16 μ", "M 130M"))
    del row["margin"]
    assert row == {
        "table": "Table 1",
        "row": "FP16 μ",
        "column": "M 130M",
        "printed": "0.03",
        "measured": "0.05",
        "interval": "0.04 to 0.06",
        "outcome": "reproduced",
    }
    assert {row["outcome"] for row in rows} == {"reproduced", "not run"}


def test_a_stand_in_is_no_measurement_of_a_table() -> None:
    why = (cause("tier-and-stand-in", tier="smoke", checkpoint="twin"),)
    rows = csv.DictReader(io.StringIO(tables.as_csv(table1(causes=why)), newline=""))
    assert {(row["measured"], row["interval"]) for row in rows} == {("", "")}


def test_latex_is_booktabs_with_every_number_and_nothing_that_tex_would_read() -> None:
    text = tables.as_latex(table1(), "a & b_c")
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 1
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in text
    body = text[text.index(r"\endfoot") : text.index(r"\end{longtable}")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 24
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(tables.COLUMNS) - 2}
    assert r"a \& b\_c" in text
    assert r"FP16 $\mu$ & M 130M & 0.03 & 0.05 & 0.04 to 0.06" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 %", r"50 \%"),
        ("x_1^2", r"x\_1\textasciicircum{}2"),
        ("\\a{b}", r"\textbackslash{}a\{b\}"),
    ],
)
def test_what_tex_would_read_is_escaped(text: str, expected: str) -> None:
    assert tables.in_latex(text) == expected


def test_tables_stand_in_order_and_a_table_once() -> None:
    manifests = validate.load_manifests([])
    names = list(page.view(made.seen(manifests)).tables)
    assert names == [f"Table {number}" for number in range(1, 6)]
    assert sorted(["Table 10", "Table 9"], key=tables.in_order) == ["Table 9", "Table 10"]
