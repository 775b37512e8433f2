"""README's table and docs/claims.md. Oracle: `repro verify` over the committed evidence, run again.

Which finding counts, what is listed and what a claim takes are held to findings made up here.
"""

import re
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_report as made_up
import pytest

from repro import paths
from repro.cli.main import main
from repro.report import collect, markdown, rows
from repro.report.report_data import ReportData
from repro.schema import validate
from repro.schema.causes import LISTS, Cause, cause
from repro.schema.finding import Finding, Outcome
from repro.store import run_file

EVIDENCE = paths.ROOT / "evidence"
FIRST, SECOND = "T9.mamba-1.float16", "T9.phi-1.float16"
"""Claims of the made-up manifest."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `repro verify evidence --markdown` prints today on a machine that fetched nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_CACHE", str(tmp_path_factory.mktemp("empty")))
        return markdown.render(collect.gather(run_file.folders_of([EVIDENCE])))


def summary(text: str) -> str:
    return text[text.index(markdown.BEGIN) : text.index(markdown.END)]


def test_the_claims_are_not_stale(made: str) -> None:
    written = (paths.ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert written == made, "docs/claims.md is stale: run `make claims`"


def test_the_table_in_readme_is_not_stale(made: str) -> None:
    written = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    assert summary(written) == summary(made), "README's table is stale: run `make claims`"


def test_every_claim_is_counted_once_and_has_one_line(made: str) -> None:
    counts = {}
    for line in summary(made).splitlines():
        if line.startswith("| **"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            counts[name] = [int(each or 0) for each in cells]
    for claims, *outcomes in counts.values():
        assert claims == sum(outcomes)
    total = counts.pop("**all**")
    assert total == [sum(column) for column in zip(*counts.values(), strict=True)]
    manifests = validate.load_manifests([])
    assert len(re.findall(r"^\| `", made, re.MULTILINE)) == sum(len(e.claims) for e in manifests)
    readings = sum(len(c.readings) for e in manifests for c in e.claims if c.kind == "ambiguous")
    apart = sum(claim.standing != "printed" for each in manifests for claim in each.claims)
    assert 0 < total[0] <= sum(len(each.claims) for each in manifests) - max(readings, apart)


# -----------------------------------------------------------------------------
# Made up


def seen(*runs: dict[str, Finding], **changes: Any) -> ReportData:
    """Runs of a manifest that has two claims and no job."""
    whole = records.manifest(jobs=[])
    two = whole.model_copy(update={"claims": whole.claims[:2]})
    return made_up.seen(
        [two], runs=tuple(made_up.run(list(each.values())) for each in runs), **changes
    )


def both(first: Outcome, second: Outcome = "not-run", **changes: Any) -> dict[str, Finding]:
    outcomes = {FIRST: first, SECOND: second}
    return {
        name: made_up.finding(0, each, claim=name, **changes) for name, each in outcomes.items()
    }


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (("not-run", "inconclusive"), "inconclusive"),
        (("inconclusive", "reproduced"), "reproduced"),
        (("reproduced", "contradicted"), "contradicted"),
        (("contradicted", "invalid"), "invalid"),
    ],
)
def test_of_two_runs_the_one_that_decides_counts(
    outcomes: tuple[Outcome, Outcome], expected: Outcome
) -> None:
    for order in (outcomes, outcomes[::-1]):
        every = rows.strongest_findings(rows.rows(seen(*(both(each) for each in order))))
        assert [row.finding.outcome for row in every if row.finding.claim == FIRST] == [expected]


def test_a_line_of_a_list_can_be_read_alone() -> None:
    text = markdown.render(seen(both("contradicted", "contradicted")))
    for name in (FIRST, SECOND):
        assert f"- `{name}` statement 0; printed: “the printed sentence”; found 0.25" in text


def test_what_is_no_claim_of_the_paper_is_in_a_list_of_its_own_and_in_no_count() -> None:
    text = markdown.render(seen(both("inconclusive", standing="beside", result="fails")))
    assert "| **all** | 0 |" in text
    ours = text[text.index("**Steps and checks of our own") :]
    assert f"- `{FIRST}` statement 0" in ours


@pytest.mark.parametrize("code", LISTS)
def test_weaker_words_have_lists_of_their_own(code: str) -> None:
    values = dict.fromkeys(("condition", "failing", "others", "count", "left_open"), 3)
    text = markdown.render(seen(both("inconclusive", causes=(cause(code, **values),))))
    found = text[text.index(f"**{LISTS[code]}:**") :]
    assert found.splitlines()[2].startswith(f"- `{FIRST}` statement 0")


def test_invalid_has_a_column_only_where_there_is_one() -> None:
    assert "! invalid" in markdown.render(seen(both("invalid")))
    assert "! invalid" not in markdown.render(seen(both("reproduced")))


@pytest.mark.parametrize(
    ("outcome", "why", "expected"),
    [
        (
            "inconclusive",
            cause("drift", package="torch", installed="2.3", pinned="2.2"),
            "2: the pinned version (torch)",
        ),
        (
            "inconclusive",
            cause("other-hardware", hardware="NVIDIA A10G", others="here"),
            "2: the paper's GPU (NVIDIA A10G)",
        ),
        ("inconclusive", cause("held", count=9), "2: held: samples prove no theorem"),
        ("inconclusive", cause("source-not-held"), "2: a copy of the other paper"),
        ("inconclusive", "the interval crosses the margin", "2: more settings"),
        ("not-run", cause("no-job", needs="few-shot"), "2: no job for it (few-shot)"),
        ("not-run", "weights of mamba-1 missing", "2: `make reproduce`"),
    ],
)
def test_what_undecided_claims_take(outcome: Outcome, why: str | Cause, expected: str) -> None:
    text = markdown.render(seen(both(outcome, outcome, causes=(why,))))
    assert f"- **table9**: {expected}\n" in text
    beyond = {"table9": {FIRST: "the margin is within rounding"}}
    text = markdown.render(seen(both(outcome, outcome, causes=(why,)), undecidable=beyond))
    assert "1: beyond any run" in text
    assert expected.replace("2:", "1:") in text


def test_a_run_says_how_many_checkpoints_it_takes(made: str) -> None:
    assert re.search(r"- \*\*table1\*\*: .*weights \(12 checkpoints, \d+ h on one H200\)", made)


def test_what_markdown_would_read_is_escaped_and_long_text_is_cut() -> None:
    hostile = both("contradicted", statement="a|b <i> *x* " + "word " * 60)
    text = markdown.render(seen(hostile))
    assert r"a\|b \<i\> \*x\* word" in text
    assert "word …; printed: “" in text


# -----------------------------------------------------------------------------
# The command


def test_a_folder_of_results_folders_stands_for_them(tmp_path: Path) -> None:
    for name in ("cpu", "gpu"):
        (tmp_path / name / "runs").mkdir(parents=True)
    (tmp_path / "texts").mkdir()
    assert run_file.folders_of([tmp_path]) == [tmp_path / "cpu", tmp_path / "gpu"]
    assert run_file.folders_of([tmp_path / "gpu"]) == [tmp_path / "gpu"]
    assert run_file.folders_of([tmp_path / "texts"]) == [tmp_path / "texts"]


@pytest.mark.parametrize("beside", ["--json", "--paper"])
def test_markdown_stands_alone(beside: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(EVIDENCE), "--markdown", beside]) == 2
    assert "--markdown: found" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path / "gone"), "--markdown"]) == 2
    assert f"found no folder {tmp_path / 'gone'}" in capsys.readouterr().err


def test_the_command_prints_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(EVIDENCE / "coq"), "--markdown"]) == 1
    assert capsys.readouterr().out.startswith("# Every claim in one line\n")
    assert main(["verify", str(tmp_path), "--markdown"]) == 2
    assert "holds no runs" in capsys.readouterr().err
