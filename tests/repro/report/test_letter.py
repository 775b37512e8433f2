"""A letter to the authors. Oracle: findings of the committed evidence, arithmetic by hand."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_report as made
import own_manifests as own
import pytest
from command_line import repro_here

from repro import paths
from repro.errors import BadInputError
from repro.report import collect, letter, rows
from repro.report.report_data import ReportData
from repro.report.rows import Row
from repro.schema import paper, validate
from repro.schema.claim_base import Answer
from repro.schema.finding import Verdict
from repro.schema.manifest import Manifest
from repro.store import run_file
from verify.paper import paper_against_itself


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """What is committed, judged on a machine that fetched nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_CACHE", str(tmp_path_factory.mktemp("empty")))
        return collect.gather(run_file.folders_of([paths.ROOT / "evidence"]))


def every_row(data: ReportData) -> list[Row]:
    return rows.strongest_findings(rows.rows(data))


def checked(text: str) -> list[str]:
    """Claims that a letter is about."""
    return re.findall(r"^- \*\*Checked\*\* \(`(.+?)`\)", text, re.MULTILINE)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


# -----------------------------------------------------------------------------
# Which claims


def test_it_is_about_all_that_is_contradicted_or_so_under_a_condition(evidence: ReportData) -> None:
    findings = [row.finding for row in every_row(evidence) if row.finding.counts]
    wanted = [
        one.claim
        for one in findings
        if one.outcome == "contradicted" or one.causes[0].code == "contradicted-if"
    ]
    text = letter.render(evidence)
    assert checked(text) == wanted
    assert len(wanted) > 8
    assert f"This letter is about {len(wanted)} claims." in text
    for one in findings:
        assert (letter.in_markdown(one.quote) in text) or one.claim not in wanted


def test_every_name_that_is_no_such_claim_is_told_at_once(evidence: ReportData) -> None:
    names = ("F4e.mor", "F2h.same.memory", "TH3.proof", "T4.sampling", "evidence", "F4e.more")
    with pytest.raises(BadInputError) as caught:
        letter.render(evidence, names)
    told = {each.where.split()[1]: (each.found, each.expected) for each in caught.value.problems}
    assert list(told) == ["F4e.mor", "F2h.same.memory", "TH3.proof", "T4.sampling", "evidence"]
    assert told["F4e.mor"][0] == "no claim of that name"
    assert told["F4e.mor"][1].startswith("one of F4e.more")
    assert told["F2h.same.memory"][0] == "one reading of F2h, inconclusive"
    assert told["TH3.proof"][0] == "proved"
    assert told["T4.sampling"][0].startswith("no sentence of the paper: beside")
    assert "results stand before --letter" in str(caught.value)


def twice(**changes: Any) -> ReportData:
    """A claim of one name in two manifests, contradicted in both."""
    manifests = [Manifest.model_validate(wrong(name, **changes)) for name in ("ours", "theirs")]
    return made.seen(manifests, page=tuple(paper_against_itself(one) for one in manifests))


def wrong(name: str, **changes: Any) -> dict[str, Any]:
    """0.13 is 30 % more than 0.10, and 90 is printed."""
    data = own.manifest_of(name, **changes)
    data["published"][2]["text"] = "90"
    return data


def test_a_name_that_several_manifests_have_takes_the_manifest_s_before_it() -> None:
    with pytest.raises(BadInputError, match=r"one of ours:more\.printed, theirs:more\.printed"):
        letter.render(twice(), ["more.printed"])
    assert checked(letter.render(twice(), ["theirs:more.printed"])) == ["more.printed"]
    assert checked(letter.render(twice())) == ["more.printed", "more.printed"]


def test_claims_of_two_papers_take_two_letters() -> None:
    data = twice()
    ours, theirs = data.manifests
    other = theirs.paper.model_copy(update={"id": "2501.01234"})
    both = made.seen([ours, theirs.model_copy(update={"paper": other})], page=data.page)
    with pytest.raises(BadInputError, match=r"claims of 2406\.00209 and 2501\.01234"):
        letter.render(both)
    assert letter.render(both, ["theirs:more.printed"]).startswith(
        "# To the authors of arXiv 2501.01234\n"
    )


# -----------------------------------------------------------------------------
# What it says


def test_a_percentage_can_be_done_again_by_hand(evidence: ReportData) -> None:
    text = letter.render(evidence, ["F4e.more"])
    assert checked(text) == ["F4e.more"]
    said = lines(text)
    assert "## 1. §5.3 (v2): contradicted" in said
    quote = "143% more total pretraining tokens than Mamba/Mamba-2 and Pythia models"
    assert f"> {quote}" in said
    assert round(100 * (429 / 300 - 1)) == 43
    assert "- 100 × (429 / 300 − 1) = 43; 143 stands for \\[142.5, 143.5\\]" in said
    assert (
        "- printed: 143 percent (§5.3); 429 billion tokens (§5.3); 300 billion tokens (§5.3)"
        in said
    )


def test_it_is_to_those_whom_paper_json_names(evidence: ReportData) -> None:
    known = paper.load()
    assert known
    head = letter.render(evidence, ["F4e.more"]).split("\n\n")[:2]
    assert head == [
        f"# To the authors of {known.title} (arXiv {known.id})",
        "John T. Halloran, Manbir Gulati, Paul F. Roysdon:",
    ]


def test_a_count_names_each_cell_and_no_name_of_ours(evidence: ReportData) -> None:
    text = letter.render(evidence, ["S4.pythia.printed", "F1.sizes", "T4cnt"])
    assert "0.20 percentage points (§5, Table 1, BF16 μ, P 410M)" in text
    assert "- §5.1 160 and Mamba size 130: no number prints as both" in lines(text)
    assert "F1.size1" not in text
    assert "- Mamba-2 370M PIQA 69.53 and 70.67: not won" in lines(text)
    assert "70 numbers of Appendix F, Table 4" in text


def test_a_line_of_code_is_named_with_what_is_claimed_of_it(evidence: ReportData) -> None:
    text = letter.render(evidence, ["S7"])
    assert "mamba-ssm 2.2.2, README.md:196: the line saying that" in text
    assert "is present; claimed: absent" in text
    assert "another text of a line above in the version that you ran" in text


def test_what_is_conditional_says_so_first_and_asks_for_the_condition(evidence: ReportData) -> None:
    said = lines(letter.render(evidence, ["CODE2.run.mamba2.out_proj"]))
    assert "## 1. §3.2; Appendix F (v2): contradicted if the condition below holds" in said
    assert "- **Condition:** use\\_mem\\_eff\\_path is on, as it is by default" in said
    assert "- a configuration or a log of your runs in which the condition does not hold" in said
    assert (
        "- of 4 adapter matrices of out\\_proj, 0 got a gradient and 0 moved, on the path fused"
        in (said)
    )


@pytest.mark.parametrize("conditions", [[], ["it is on"]])
def test_a_sentence_of_several_readings_has_the_working_of_each(conditions: list[str]) -> None:
    """90 is neither what b has more than a nor what a has more than b."""
    data = wrong("ours")
    (claim,) = data["claims"]
    sentence = {key: claim[key] for key in ("statement", "place", "depends_on")}
    sentence |= {"id": "both", "kind": "ambiguous", "quote": "90 % more", "missing": "of which"}
    sentence |= {"readings": ["more.printed", "less.printed"], "conditions": conditions}
    data["claims"] += [{**claim, "id": "less.printed", "of": ["a", "b"]}, sentence]
    manifest = Manifest.model_validate(data)
    text = letter.render(made.seen([manifest], page=(paper_against_itself(manifest),)))
    assert checked(text) == ["both"]
    assert "100 × (0.13 / 0.10 − 1) = 30" in text
    assert "100 × (0.10 / 0.13 − 1) = " in text
    assert "a reading of the sentence that is not among these" in text
    assert text.count("- **Condition:** it is on") == len(conditions)
    outcome = "contradicted-if" if conditions else "contradicted"
    assert all(f"- {name}, {outcome}: " in text for name in sentence["readings"])


def test_its_commands_give_the_finding_again(evidence: ReportData) -> None:
    text = letter.render(evidence, ["F4e.more", "CODE2.run.mamba2.out_proj"])
    commands = [each for line in lines(text) if "**Commands" in line for each in ticked(line)]
    run, judge, page = sorted(commands, key=lambda each: "--paper" in each)
    assert run == "repro run manifests/theorem3.json --tier full"
    assert repro_here("plan", *run.split()[2:], "--offline").returncode in (0, 3)
    shown = {page: "contradicted", judge.replace("results", "evidence/h200-pinned"): "inconclusive"}
    for command, outcome in shown.items():
        assert outcome in in_a_shell(command)


def ticked(line: str) -> list[str]:
    return re.findall("`([^`]+)`", line)


def in_a_shell(command: str) -> str:
    command = command.replace("repro ", f"{sys.executable} -m repro.cli.main ", 1)
    done = subprocess.run(
        ["bash", "-c", command], cwd=paths.ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


ADJECTIVES = (
    *("wrong", "false", "misleading", "significant", "serious", "clear", "obvious", "important"),
    *(
        "careful",
        "simple",
        "strong",
        "weak",
        "surprising",
        "unfortunate",
        "incorrect",
        "good",
        "bad",
    ),
)


def test_words_of_ours_judge_nobody() -> None:
    finding = made.finding(0, "contradicted", claim="T9.mamba-1.float16", basis="measured")
    text = letter.render(made.seen(runs=(made.run([finding]),)))
    assert checked(text) == ["T9.mamba-1.float16"]
    assert not set(re.findall(r"[a-z]+", text.lower())) & set(ADJECTIVES)
    assert "printed 0.20, measured 0.25 (5 settings: 0.20 to 0.30), margin ± 0.1" in text
    assert "repro run manifests/table9.json --tier full" in text


def test_hostile_words_stay_words() -> None:
    change = dict.fromkeys(("statement", "quote", "reading", "measured"), made.HOSTILE)
    finding = made.finding(0, "contradicted", claim="T9.mamba-1.float16", **change)
    text = letter.render(made.seen(runs=(made.run([finding]),)))
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert text.replace("\n", "").isprintable()


def test_a_letter_about_nothing_says_what_became_of_the_claims() -> None:
    text = letter.render(made.seen(runs=(made.run([made.finding(0)]),)))
    assert "1 reproduced" in text
    assert "This letter is about 0 claims." in text


# -----------------------------------------------------------------------------
# What the authors answered


def answered(manifest: Manifest) -> Manifest:
    """The same with an answer beside every claim."""
    answers = (Answer.model_validate(records.ANSWER),)
    claims = (each.model_copy(update={"answers": answers}) for each in manifest.claims)
    return manifest.model_copy(update={"claims": tuple(claims)})


def without_answers(verdict: Verdict) -> dict[str, Any]:
    found = verdict.model_dump(mode="json")
    for each in found["findings"]:
        each["answers"] = []
    return found


def test_an_answer_changes_no_outcome(evidence: ReportData) -> None:
    from repro.cli.verify import judge_run
    from repro.store.store import Store

    for manifest in validate.load_manifests([]):
        before, after = map(paper_against_itself, (manifest, answered(manifest)))
        assert all(each.answers for each in after.findings)
        assert without_answers(after) == before.model_dump(mode="json")
    for run in evidence.runs:
        manifest = next(one for one in evidence.manifests if one.id == run.verdict.manifest)
        assert run.verdict.tier
        store = Store(Path(run.folder))
        before, after = (
            judge_run(each, run.verdict.tier, store) for each in (manifest, answered(manifest))
        )
        assert without_answers(after) == before.model_dump(mode="json"), run.folder


def test_an_answer_is_shown_wherever_the_claim_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a user's own manifest, answered after its run: of what is decided and what was not run."""
    monkeypatch.chdir(tmp_path)
    data = own.with_a_job("ours")
    data["published"] = wrong("ours")["published"]
    data["claims"] += wrong("ours")["claims"]
    waiting = {**data["claims"][0], "id": "waits", "jobs": ["other"]}
    data["claims"].append(waiting)
    data["jobs"].append({**data["jobs"][0], "id": "other"})
    data["jobs"][1]["job"] = {**data["jobs"][0]["job"], "seed": 1}
    path = own.save(tmp_path, data)
    assert repro_here("run", str(path), "--only", "model=one", cwd=tmp_path).returncode == 0
    before = repro_here("verify", "--json", cwd=tmp_path)
    for each in data["claims"]:
        each["answers"] = [records.ANSWER | {"said": f"of {each['id']}"}]
    own.save(tmp_path, data)
    after = repro_here("verify", "--json", cwd=tmp_path)
    assert after.returncode == before.returncode == 1
    assert re.findall(r'"outcome": .*', after.stdout) == re.findall(r'"outcome": .*', before.stdout)
    said = "answered by A. Author on 2026-12-01 (a letter that the editor keeps): “of {}”"
    shown = {
        ("verify",): ("tied", "more.printed", "waits"),
        ("verify", "--markdown", "results"): ("tied", "more.printed", "waits"),
        ("report", "--letter", "more.printed"): ("more.printed",),
        ("report", "--out", "page"): ("tied", "more.printed", "waits"),
    }
    for arguments, names in shown.items():
        done = repro_here(*arguments, cwd=tmp_path, COLUMNS="400")
        text = done.stdout
        if "--out" in arguments:
            text = (tmp_path / "page/report.html").read_text(encoding="utf-8")
        assert all(said.format(name) in text for name in names), arguments


# -----------------------------------------------------------------------------
# The command


def test_it_is_printed_or_written(tmp_path: Path) -> None:
    printed = repro_here("report", "evidence", "--letter", "S7")
    assert printed.returncode == 1
    assert checked(printed.stdout) == ["S7"]
    out = tmp_path / "letters"
    written = repro_here("report", "evidence", "--out", str(out), "--letter", "S7")
    assert written.stdout == f"{out / letter.NAME}\n"
    assert (out / letter.NAME).read_text(encoding="utf-8") == printed.stdout
    refused = repro_here("report", "evidence", "--out", str(tmp_path / "no"), "--letter", "S8")
    assert refused.returncode == 2
    assert not (tmp_path / "no").exists()


def test_where_nothing_was_run_it_is_about_what_the_page_decides(tmp_path: Path) -> None:
    done = repro_here("report", "--letter", cwd=tmp_path)
    assert done.returncode == 1
    assert "F4e.more" in checked(done.stdout)
    assert "CODE2.run.mamba2.out_proj" not in checked(done.stdout)


def test_a_page_needs_a_folder() -> None:
    done = repro_here("report", "evidence")
    assert done.returncode == 2
    assert "--out: found nothing, expected a folder" in done.stderr
