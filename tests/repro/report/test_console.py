"""Tables for a terminal: counts of one, and what is no markup. Oracle: the words, by hand."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from repro import paths
from repro.cli.main import main
from repro.coverage import Compared, Difference
from repro.environment.machine import capture
from repro.inputs.locate import InputLocator
from repro.planning.planner import FetchSources, Planner, SlotFilter
from repro.report import console_lists, console_plan, console_verdicts
from repro.schema import catalog, validate
from repro.schema import slots as job_slots
from repro.schema.jobs import TuningJob
from repro.store import run_file
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import Store

if TYPE_CHECKING:
    from repro.planning.plan import Plan

FIGURE1 = validate.load_manifest(paths.MANIFESTS / "figure1.json")


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
    assert str(console_lists.RunProgress("smoke", *counts)) == expected


def test_a_perfect_smoke_run_misses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No run at smoke could make what has no twin: OLMo's and Phi's twelve results of Table 1."""
    table1 = validate.load_manifest(paths.MANIFESTS / "table1.json")
    slots = job_slots.slots(table1, "smoke", catalog.checkpoints())
    none = {each.id: each.reason for each in slots if each.job is None}
    ready = {each.id: "a" * 64 for each in slots if each.job}
    written = RunFile(
        schema_version=2,
        manifest="table1",
        file="manifests/table1.json",
        tier="smoke",
        started="2026-01-01T00:00:00+00:00",
        committed=commitments_of(table1),
        substitutions={},
        jobs=ready,
        missing=none,
    )

    def ran(missing: int) -> dict[str, object]:
        left = dict(list(ready.items())[missing:])
        lost = none | dict.fromkeys(list(ready)[:missing], "no space")
        run_file.save(tmp_path, written.model_copy(update={"jobs": left, "missing": lost}))
        assert main(["list", "--json", "--out", str(tmp_path)]) == 0
        rows = json.loads(capsys.readouterr().out)
        found = next(each["ran"] for each in rows if each["manifest"] == "table1")
        return {name: found[name] for name in ("missing", "no_twin")}

    assert ran(0) == {"missing": 0, "no_twin": 12}
    assert ran(3) == {"missing": 3, "no_twin": 12}


def test_what_takes_more_than_a_month_is_beyond_this_machine(tmp_path: Path) -> None:
    month = 30 * 24 * 3600
    assert console_plan.rough_duration(month) == "720 h"
    assert console_plan.duration_here(month) == "about 720 h here"
    assert console_plan.duration_here(month + 1) == "beyond this machine (over a month)"
    plan = planner(tmp_path).plan(validate.load_manifest(paths.MANIFESTS / "table1.json"), "full")
    said = console_plan.cost_of(plan)
    assert re.match(r"beyond this machine \(over a month\), \d+ h on one H200, ", said)
    assert not re.search(r"\d,\d{3} h", said)


def test_a_copy_with_one_sentence_that_differs(capsys: pytest.CaptureFixture[str]) -> None:
    one = Difference(section="5", order=1, printed="It is so.", ledger="t:a")
    same = Compared(sentences=1, differences=(), misquoted=())
    console_lists.show_coverage_comparison(same.model_copy(update={"differences": (one,)}))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1 sentence, 1 difference from the ledger"
    console_lists.show_coverage_comparison(same)
    assert capsys.readouterr().out == "1 sentence, all as in the ledger\n"


def planner(root: Path) -> Planner:
    return Planner(
        InputLocator(),
        Store(root),
        capture(["torch"]),
        only=SlotFilter(),
        fetch_sources=FetchSources(hub=False, index=False),
        fresh=False,
    )


def test_a_headline_of_one_tuning_and_one_question(tmp_path: Path) -> None:
    plan: Plan = planner(tmp_path).plan(FIGURE1, "smoke")
    jobs = plan.distinct()
    tuning = next(each for each in jobs if isinstance(each.slot.job, TuningJob))
    asked = next(each for each in jobs if not isinstance(each.slot.job, TuningJob))
    said = console_plan.tunings([tuning, asked])
    assert re.fullmatch(
        r" \(1 fine-tuning, \d of them FP32 Full under its seeds; "
        r"1 evaluation, \d of them before any tuning\)",
        said,
    )


def test_what_could_not_run_is_named_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console_verdicts.show_failures({"[bold]": "no [/] here"})
    assert capsys.readouterr().out == "\nCould not run\n  [bold]: no [/] here\n"
