"""Rows of a page. Oracle: findings made up here, and what `verify` writes into its own."""

import made_up_records as records
import made_up_report as made
import numpy as np
import pytest

from repro.report import rows as claim_rows
from repro.report.rows import NO_RUN, PAGE
from repro.schema import validate
from verify import shown
from verify.paper import paper_against_itself
from verify.statistics import decide


def test_every_claim_has_a_row_where_nothing_was_run() -> None:
    manifests = validate.load_manifests([])
    page = tuple(paper_against_itself(each) for each in manifests)
    rows = claim_rows.rows(made.seen(manifests, page=page))
    wanted = [(each.id, claim.id) for each in manifests for claim in each.claims]
    assert sorted((row.manifest, row.finding.claim) for row in rows) == sorted(wanted)
    decided = {(row.tier == PAGE) == (row.finding.basis == "printed") for row in rows}
    assert decided == {True}
    assert {row.finding.outcome for row in rows if row.tier == NO_RUN} == {"not-run"}


def test_a_sentence_waits_for_the_readings_that_were_not_run() -> None:
    """S6 has five; four are decided on the page."""
    prose = next(each for each in validate.load_manifests([]) if each.id == "prose")
    rows = claim_rows.rows(made.seen([prose], page=(paper_against_itself(prose),)))
    row = next(row for row in rows if row.finding.claim == "S6")
    assert (row.tier, row.finding.outcome) == (NO_RUN, "not-run")
    assert row.finding.reason == "a reading of it was not run: S6.significant"
    (working,) = row.working
    assert working.split(", ") == [
        "S6.inference.float16 reproduced",
        "S6.inference.bfloat16 contradicted",
        "S6.tuning.float16 inconclusive",
        "S6.tuning.bfloat16 reproduced",
    ]


def test_anchors_are_unique() -> None:
    twice = [made.finding(0), made.finding(0, reason="another")]
    rows = claim_rows.rows(made.seen(runs=(made.run(twice),)))
    assert len({row.anchor for row in rows}) == len(rows)


def test_what_one_run_left_out_is_dropped_where_another_has_it() -> None:
    left_out = made.run([made.finding(0, "not-run"), made.finding(1, "not-run")])
    has_it = made.run([made.finding(0, "contradicted")], "elsewhere")
    rows = claim_rows.rows(made.seen(runs=(left_out, has_it)))
    said = {row.finding.claim: row.finding.outcome for row in rows}
    assert (said["C0"], said["C1"]) == ("contradicted", "not-run")
    assert [row.finding.claim for row in rows].count("C0") == 1


def test_tiers_stand_beside_each_other_and_what_needs_no_run_stands_once() -> None:
    of_page = made.finding(0, basis="printed")
    smoke = made.run([of_page, made.finding(1, "inconclusive")], tier="smoke")
    full = made.run([of_page, made.finding(1, "reproduced")])
    rows = claim_rows.rows(made.seen(runs=(smoke, full)))
    found = [(row.finding.claim, row.tier) for row in rows if row.finding.claim.startswith("C")]
    assert sorted(found) == [("C0", PAGE), ("C1", "full"), ("C1", "smoke")]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("5, last paragraph before 5.1", "Section 5"),
        ("Abstract; 1; 5.2", "Abstract"),
        ("3.1; Appendix B, Lemma 1", "Section 3.1"),
        ("Appendices A and D", "Appendix A"),
        ("v3, variables sheet", "v3"),
        ("", ""),
    ],
)
def test_a_claim_stands_under_the_first_place_that_it_names(place: str, expected: str) -> None:
    assert claim_rows.heading(place) == expected


def test_sections_stand_in_the_order_of_the_paper() -> None:
    places = ["v3, x", "Appendix B", "5.10", "5.2", "Abstract", "Appendix A", "1"]
    findings = [
        made.finding(number, place=made.Place(section=place)) for number, place in enumerate(places)
    ]
    empty = records.manifest(jobs=[], claims=[records.manifest_data()["claims"][0]])
    rows = claim_rows.rows(made.seen([empty], runs=(made.run(findings),)))
    found = [name for name in claim_rows.by_section(rows) if name != "Section 5"]
    expected = ["Abstract", "Section 1", "Section 5.2", "Section 5.10", "Appendix A", "Appendix B"]
    assert found == [*expected, "v3"]


def test_what_a_check_would_have_caught_is_told_in_the_words_of_the_verifier() -> None:
    values = list(np.linspace(0.2, 0.3, 5))
    power = shown.power(decide(values, "0.2", "0.2", least_spread=0.01))
    held = "held by all 3; sampled layers can refute a theorem, not prove it; 1 control caught"
    one = made.finding(0, working=("a line", power), reason=held)
    rows = claim_rows.rows(made.seen(runs=(made.run([one]),)))
    row = next(row for row in rows if row.finding.claim == "C0")
    assert row.caught == (power, "1 control caught")
    assert row.working == ("a line",)


def test_a_claim_without_a_job_says_what_it_needs() -> None:
    manifests = {each.id: each for each in validate.load_manifests([])}
    claim = next(each for each in manifests["table2"].claims if each.kind == "planned")
    rows = claim_rows.rows(made.seen([manifests["table2"]]))
    row = next(row for row in rows if row.finding.claim == claim.id)
    assert row.finding.reason == "no job for it: authors' runs"
