"""What is open and what it takes. Oracle: manifests of the bundle, and sums made here."""

import made_up_report as made

from repro import paths
from repro.report import page
from repro.report.report_data import ReportData
from repro.schema import catalog, validate
from verify.decidable import undecidable
from verify.paper import paper_against_itself


def seen(*names: str, price: float | None = None) -> ReportData:
    manifests = [validate.load_manifest(paths.MANIFESTS / f"{name}.json") for name in names]
    asked = catalog.question_sets()
    return made.seen(
        manifests,
        page=tuple(map(paper_against_itself, manifests)),
        undecidable={each.id: undecidable(each, each.tiers()[-1], asked) for each in manifests},
        price=price,
    )


def test_every_open_claim_is_in_a_run_or_has_what_it_takes() -> None:
    view = page.view(seen("table1", "table3", "prose"))
    counted = (card for card in view.cards if card.finding.counts)
    still = ("inconclusive", "not-run")
    wanted = {card.anchor for card in counted if card.finding.outcome in still}
    run = {card.anchor for step in view.steps.steps for card in step.cards}
    blocked = {card.anchor for each in view.steps.blockers for card in each.cards}
    assert run | blocked == wanted
    assert not run & blocked


def test_each_open_claim_says_what_it_takes_by_the_best_run() -> None:
    steps = page.view(seen("table1", "table4")).steps
    takes = steps.by_claim()
    model = next(step for step in steps.steps if "pythia-160m" in step.command)
    assert takes["T1.pythia-160m.bfloat16"] == model.bill.in_words()  # and not the whole table's
    assert takes["T4.130m.W.arc-c"].startswith("beyond any run: ")
    assert "shows where it points: about " in takes["T4.130m.W.arc-c"]


def test_runs_stand_by_claims_an_hour_and_a_shared_model_runs_once() -> None:
    steps = page.view(seen("table1", "table3")).steps
    rates = [step.claims_an_hour for step in steps.steps]
    assert rates == sorted(rates, reverse=True)
    first = steps.steps[0]
    assert first.command == (
        "repro run manifests/table1.json manifests/table3.json --tier full --only model=pythia-160m"
    )
    apart = [page.view(seen(name)).steps for name in ("table1", "table3")]
    both = [next(s for s in one.steps if "pythia-160m" in s.command) for one in apart]
    assert len(first.cards) == sum(len(each.cards) for each in both)
    assert first.bill.gpu_hours < sum(each.bill.gpu_hours for each in both)
    assert steps.whole.gpu_hours < sum(each.whole.gpu_hours for each in apart)


def test_money_is_hours_times_the_price() -> None:
    free, paid = (page.view(seen("table1", price=price)).steps for price in (None, 2.5))
    assert free.whole.money is None
    assert "price" not in free.in_words()
    assert paid.whole.money == 2.5 * paid.whole.gpu_hours
    assert f"{paid.whole.money:,.0f} at the price set" in paid.in_words()


def test_what_no_run_decides_has_runs_that_show_a_direction() -> None:
    steps = page.view(seen("table4")).steps
    assert steps.steps == ()
    (direction,) = steps.directions
    assert direction.command == "repro run manifests/table4.json --tier full"
    assert len(direction.cards) == 71
    assert direction.bill.gpu_hours > 10
    assert max(steps.blockers, key=lambda each: len(each.cards)).need.startswith("beyond any run")
