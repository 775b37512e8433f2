"""What a page opens with. Oracle: findings made up here, counted by hand."""

from typing import Any

import made_up_report as made
import pytest

from repro.coverage import Entry
from repro.report import page
from repro.report.report_data import ReportData
from repro.report.view.opening import Sentence
from repro.schema.causes import cause
from repro.schema.claim_base import Place
from repro.schema.finding import Outcome

ABSTRACT = Place(section="Abstract; 1")


def seen(*findings: Any, **changes: Any) -> ReportData:
    """Findings of one run, and nothing else."""
    return made.seen(runs=(made.run(findings),), **changes)


def text(sentence: Sentence) -> str:
    return "".join(bit.text for bit in sentence.bits)


def test_five_sentences_say_what_became_of_the_claims() -> None:
    condition = made.finding(
        2,
        "inconclusive",
        causes=(cause("contradicted-if", condition="the moon is full"),),
        conditions=("the moon is full",),
    )
    by_reading = made.finding(
        3, "inconclusive", causes=(cause("fails-by-one-reading", failing="a", others="b"),)
    )
    view = page.view(
        seen(
            made.finding(0, "contradicted", place=Place(section="2", table="Table 8")),
            made.finding(1, "contradicted", standing="step", result="fails"),
            condition,
            by_reading,
            made.finding(4, "proved", basis="proof"),
            made.finding(5, "consistent", basis="page"),
            made.finding(6, "consistent", basis="code"),
            made.finding(7, "not-run"),
        )
    )
    words = [text(each) for each in view.opening]
    assert [each.outcome for each in view.opening] == [
        *("contradicted", "inconclusive", "proved", "consistent", "not-run")
    ]
    assert words[0].startswith("1 of ")  # the step is no claim of the paper
    assert "Table 8 (C0)" in words[0]
    assert "1 claim would be contradicted if the moon is full (C2)" in words[1]
    assert "1 may be read so that they fail, and otherwise too" in words[1]
    assert "1 claim is proved by machine: Table 9 (C4)" in words[2]
    assert "none is reproduced by a measurement" in words[2]
    assert "1 with the paper’s own digits, 1 with the text of pinned code" in words[3]
    assert "2 are not decided" in words[4]
    linked = {bit.card.anchor for each in view.opening for bit in each.bits if bit.card}
    assert linked == {"C0", "C2", "C3", "C4"}


def test_where_nothing_was_found_the_sentences_say_so() -> None:
    words = [text(each) for each in page.view(made.seen()).opening]
    assert words[0].startswith("None of ")
    assert words[1].startswith("No claim is contradicted under a condition")
    assert words[2].startswith("none is reproduced")


def test_of_many_claims_the_first_are_named_and_the_others_counted() -> None:
    view = page.view(seen(*(made.finding(number, "contradicted") for number in range(30))))
    sentence = view.opening[0]
    assert len([bit for bit in sentence.bits if bit.card]) == 12
    (more,) = (bit for bit in sentence.bits if bit.find)
    assert (more.text, more.find) == ("18 more", "outcome=contradicted")


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        (("proved", "proved"), "proved"),
        (("proved", "inconclusive", "consistent"), "inconclusive"),
        (("not-run", "inconclusive"), "inconclusive"),
        (("consistent", "not-run"), "not-run"),
        (("reproduced", "contradicted", "not-run"), "contradicted"),
    ],
)
def test_a_sentence_of_the_abstract_is_as_good_as_its_weakest_claim(
    outcomes: tuple[Outcome, ...], word: Outcome
) -> None:
    findings = [
        made.finding(number, outcome, place=ABSTRACT, quote=f"words {number}")
        for number, outcome in enumerate(outcomes)
    ]
    names = tuple(f"table9:{each.claim}" for each in findings)
    entry = Entry(order=1, sha256="a" * 64, claims=names)
    (sentence,) = page.view(seen(*findings, abstract=(entry,))).abstract
    assert sentence.word == word
    assert [card.anchor for card in sentence.cards] == [each.claim for each in findings]
    assert sentence.quotes == tuple(f"words {number}" for number in range(len(outcomes)))
    because = {card.finding.outcome for card in sentence.why}
    assert because == ({word} if word != "proved" else set())


def test_a_sentence_that_claims_nothing_says_why_nothing_checks_it() -> None:
    entries = (
        Entry(order=1, sha256="a" * 64, aside="opinion"),
        Entry(order=2, sha256="b" * 64, claims=("table9:no-such-claim",)),
    )
    first, second = page.view(seen(made.finding(0), abstract=entries)).abstract
    assert first.word is None
    assert "no observation could refute" in first.aside
    assert (second.word, second.cards, second.aside) == (None, (), "")


def test_a_quote_from_elsewhere_does_not_stand_for_the_sentence() -> None:
    """It quotes section 3; of the abstract's sentence only what is claimed is known."""
    one = made.finding(0, place=Place(section="3"), quote="elsewhere", statement="what is claimed")
    entry = Entry(order=1, sha256="a" * 64, claims=("table9:C0",))
    (sentence,) = page.view(seen(one, abstract=(entry,))).abstract
    assert sentence.quotes == ("what is claimed",)
