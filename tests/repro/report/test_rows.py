"""Rows of a page. Oracle: findings made up here, and what `verify` writes into its own."""

import made_up_records as records
import made_up_report as made
import pytest

from repro.report import rows as claim_rows
from repro.report.rows import NO_RUN, PAPER
from repro.schema import validate
from repro.schema.causes import cause, say
from verify.paper import paper_against_itself


def test_every_claim_has_a_row_where_nothing_was_run() -> None:
    manifests = validate.load_manifests([])
    page = tuple(paper_against_itself(each) for each in manifests)
    rows = claim_rows.rows(made.seen(manifests, page=page))
    wanted = [(each.id, claim.id) for each in manifests for claim in each.claims]
    assert sorted((row.manifest, row.finding.claim) for row in rows) == sorted(wanted)
    decided = {(row.tier == PAPER) == (row.finding.basis in ("page", "code")) for row in rows}
    assert decided == {True}
    assert {row.finding.outcome for row in rows if row.tier == NO_RUN} == {"not-run"}


def test_a_sentence_waits_for_the_readings_that_were_not_run() -> None:
    """F1c has four; two are decided on the page."""
    figure = next(each for each in validate.load_manifests([]) if each.id == "figure1")
    rows = claim_rows.rows(made.seen([figure], page=(paper_against_itself(figure),)))
    row = next(row for row in rows if row.finding.claim == "F1c")
    assert (row.tier, row.finding.outcome) == (NO_RUN, "not-run")
    assert row.finding.causes[0] == cause("reading-waits", names="F1c.bars, F1c.bars.openelm")
    assert [each.claim for each in row.finding.readings] == ["F1a.order", "F1b.order"]


def test_anchors_are_unique() -> None:
    twice = [made.finding(0), made.finding(0, causes="another")]
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
    of_page = made.finding(0, basis="page")
    smoke = made.run([of_page, made.finding(1, "inconclusive")], tier="smoke")
    full = made.run([of_page, made.finding(1, "reproduced")])
    rows = claim_rows.rows(made.seen(runs=(smoke, full)))
    found = [(row.finding.claim, row.tier) for row in rows if row.finding.claim.startswith("C")]
    assert sorted(found) == [("C0", PAPER), ("C1", "full"), ("C1", "smoke")]


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
    found = [name for name in dict.fromkeys(row.section for row in rows) if name != "Section 5"]
    expected = ["Abstract", "Section 1", "Section 5.2", "Section 5.10", "Appendix A", "Appendix B"]
    assert found == [*expected, "v3"]


def test_what_a_check_would_have_caught_is_told_apart_from_the_other_steps() -> None:
    caught = cause("controls-caught", count=1)
    one = made.finding(0, working=("a line", caught), causes=(cause("held", count=3),))
    rows = claim_rows.rows(made.seen(runs=(made.run([one]),)))
    row = next(row for row in rows if row.finding.claim == "C0")
    assert row.caught == (say(caught),)
    assert row.working == ("a line",)


def test_each_of_the_papers_claims_counts_once_and_nothing_else_does() -> None:
    """Run at two tiers, as a reading, as a step and as a check of our own."""
    findings = [
        made.finding(0),
        made.finding(1, "consistent", reading_of="C9"),
        made.finding(2, "consistent", standing="step", result="holds"),
        made.finding(3, "inconclusive", standing="beside", result="fails"),
        made.finding(4, "contradicted"),
    ]
    smoke = made.run([made.finding(0, "inconclusive")], tier="smoke")
    page = made.seen(runs=(smoke, made.run(findings)))
    mine = [row for row in claim_rows.rows(page) if row.finding.claim.startswith("C")]
    best = claim_rows.strongest_findings(mine)
    assert len(mine) == 6
    assert sorted(row.finding.claim for row in best) == ["C0", "C1", "C2", "C3", "C4"]
    found = {name: count for name, count in claim_rows.counts(best).items() if count}
    assert found == {"reproduced": 1, "contradicted": 1}


@pytest.mark.parametrize("first", ["drifted", "pinned"])
def test_of_two_that_say_the_same_the_one_at_the_pins_counts(first: str) -> None:
    drift = cause("drift", package="torch", installed="2.11.0", pinned="2.2.1")
    drifted = made.finding(0, "inconclusive", causes=(drift,))
    pinned = made.finding(0, "inconclusive", causes=(cause("contradicted-if", condition="x"),))
    both = [drifted, pinned] if first == "drifted" else [pinned, drifted]
    page = made.seen(runs=tuple(made.run([each]) for each in both))
    mine = [row for row in claim_rows.rows(page) if row.finding.claim == "C0"]
    (best,) = claim_rows.strongest_findings(mine)
    assert len(mine) == 2
    assert best.finding.causes == pinned.causes


def test_a_claim_without_a_job_says_what_it_needs() -> None:
    manifests = {each.id: each for each in validate.load_manifests([])}
    claim = next(each for each in manifests["table2"].claims if each.kind == "planned")
    rows = claim_rows.rows(made.seen([manifests["table2"]]))
    row = next(row for row in rows if row.finding.claim == claim.id)
    assert row.finding.causes == (cause("no-job", needs="authors' runs"),)
