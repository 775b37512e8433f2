"""Tables for a terminal: counts of one, and what is no markup. Oracle: the words, by hand."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from repro import bundle, manifest, report, report_coverage, report_jobs, report_list
from repro.coverage import Difference
from repro.environment import capture
from repro.inputs import Shelf
from repro.planner import Filter, Planner, Reach
from repro.store import Store
from repro.tuning_jobs import TuningJob

if TYPE_CHECKING:
    from repro.plan import Plan

FIGURE1 = manifest.load(bundle.MANIFESTS / "figure1.json")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 1, 0, 0), "smoke: 0 of 1 job"),
        ((1, 1, 1, 0), "smoke: 1 of 1 job, 1 result missing"),
        ((1, 2, 2, 1), "smoke: 1 of 2 jobs, 2 results missing; 1 result without a twin"),
        ((2, 2, 0, 12), "smoke: 2 of 2 jobs; 12 results without a twin"),
    ],
)
def test_where_a_manifest_stands(counts: tuple[int, int, int, int], expected: str) -> None:
    assert str(report_list.Standing("smoke", *counts)) == expected


def test_a_copy_with_one_number_that_differs(capsys: pytest.CaptureFixture[str]) -> None:
    one = Difference(section="5", order=1, printed="2", ledger="1")
    report_coverage.show_comparison(1, [one])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1 numeral, 1 difference from the ledger"
    report_coverage.show_comparison(1, [])
    assert capsys.readouterr().out == "1 numeral, all as in the ledger\n"


def test_a_headline_of_one_tuning_and_one_question(tmp_path: Path) -> None:
    planner = Planner(
        Shelf(),
        Store(tmp_path),
        capture(["torch"]),
        only=Filter(),
        reach=Reach(hub=False, index=False),
        fresh=False,
    )
    plan: Plan = planner.plan(FIGURE1, "smoke")
    jobs = plan.distinct()
    tuning = next(each for each in jobs if isinstance(each.slot.job, TuningJob))
    asked = next(each for each in jobs if not isinstance(each.slot.job, TuningJob))
    said = report_jobs.tunings([tuning, asked])
    assert re.fullmatch(
        r" \(1 fine-tuning, \d of them FP32 Full under its seeds; "
        r"1 evaluation, \d of them before any tuning\)",
        said,
    )


def test_what_could_not_run_is_named_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    report.show_failures({"[bold]": "no [/] here"})
    assert capsys.readouterr().out == "\nCould not run\n  [bold]: no [/] here\n"
