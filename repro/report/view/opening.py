"""What a page opens with: five sentences, the abstract, what is contradicted.

Every word is made by rule from findings. Nothing here knows which paper it is about.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from repro.coverage import REASONS, Entry
from repro.report.rows import section_of
from repro.report.view.cards import Card
from repro.report.view.next_steps import NextSteps
from repro.schema.finding import GOOD, Outcome
from repro.text import plural

WEAKEST: tuple[Outcome, ...] = (
    *("invalid", "contradicted", "inconclusive", "not-run", "consistent", "reproduced", "proved"),
)
"""A sentence that says several things is as good as the first of these that one of them is."""

_NAMED = 12
"""Claims that a sentence names before it only counts them."""
_TOLD = 2
"""Claims of a sentence of the abstract whose reason stands beside it."""


@dataclass(frozen=True)
class Bit:
    """A piece of a sentence; a link where it has a claim, or where something is to be found."""

    text: str
    card: Card | None = None
    find: str = ""
    """What finds the claims that it stands for, as the page's address has it."""


@dataclass(frozen=True)
class Sentence:
    """One of those that the page opens with."""

    word: str
    """What it is about."""
    outcome: Outcome | None
    """Whose colour it has."""
    bits: tuple[Bit, ...]


@dataclass(frozen=True)
class AbstractSentence:
    """One sentence of the abstract, and what checks it."""

    quotes: tuple[str, ...]
    """What is quoted of it; else what is claimed."""
    word: Outcome | None
    """The weakest of its claims; None where it makes none."""
    why: tuple[Card, ...]
    """Those of its claims that have this word, where it is not that all hold."""
    cards: tuple[Card, ...]
    """Each of its claims."""
    aside: str
    """Why nothing checks it; empty where something does."""


def opening(cards: Sequence[Card], steps: NextSteps) -> tuple[Sentence, ...]:
    """What was contradicted, under which condition, what holds, what only agrees, what is open."""
    counted = [card for card in cards if card.finding.counts]
    by = _by(counted, lambda card: card.finding.outcome)
    listed = _by(counted, lambda card: card.finding.listed_under or "")
    whole = plural(len(counted), "printed claim")
    return (
        Sentence("Contradicted", "contradicted", _outright(by["contradicted"], whole)),
        Sentence("Under a condition", "inconclusive", tuple(_conditions(listed))),
        Sentence("Proved or measured", "proved", tuple(_held(by, listed))),
        Sentence("Agrees in print", "consistent", tuple(_in_print(by["consistent"]))),
        Sentence("Open", "not-run", tuple(_open(by, steps))),
    )


def _outright(found: Sequence[Card], whole: str) -> tuple[Bit, ...]:
    if not found:
        return (Bit(f"None of {whole} is contradicted outright."),)
    start = f"{len(found)} of {whole} fail under every reading, without a condition: "
    return (Bit(start), *_named(found), Bit("."))


def _conditions(listed: Mapping[str, Sequence[Card]]) -> Iterator[Bit]:
    under, reading = listed.get("contradicted-if", ()), listed.get("fails-by-one-reading", ())
    if under:
        yield Bit(f"{plural(len(under), 'claim')} would be contradicted ")
        groups = _by(under, lambda card: "; ".join(card.finding.conditions))
        for number, (condition, mine) in enumerate(groups.items()):
            yield Bit(f"{', or ' if number else ''}if {condition} (")
            yield from _linked(mine)
            yield Bit(")")
        yield Bit("; ")
    else:
        yield Bit("No claim is contradicted under a condition; ")
    if reading:
        yield Bit(f"{len(reading)} may be read so that they fail, and otherwise too: ")
        yield from _named(reading)
        yield Bit(".")
    else:
        yield Bit("none fails by one reading of several.")


def _held(by: Mapping[str, list[Card]], listed: Mapping[str, list[Card]]) -> Iterator[Bit]:
    proved, measured = by["proved"], by["reproduced"]
    if proved:
        yield Bit(f"{plural(len(proved), 'claim')} {_is(proved)} proved by machine: ")
        yield from _named(proved)
        yield Bit("; ")
    if part := listed.get("proved-in-part"):
        yield Bit(f"{len(part)} in part: ")
        yield from _named(part)
        yield Bit("; ")
    if measured:
        yield Bit(f"{len(measured)} {_is(measured)} reproduced by a measurement: ")
        yield from _named(measured)
        yield Bit(".")
    else:
        yield Bit("none is reproduced by a measurement of the paper’s own models.")


def _in_print(found: Sequence[Card]) -> Iterator[Bit]:
    said = {"page": "the paper’s own digits", "code": "the text of pinned code"}
    groups = _by(found, lambda card: said.get(card.finding.basis, card.finding.basis))
    parts = [f"{len(mine)} with {basis}" for basis, mine in groups.items()]
    yield Bit(f"{plural(len(found), 'claim')} agree{'s' if len(found) == 1 else ''} in print alone")
    yield Bit(f": {', '.join(parts)}; nothing was measured of them." if parts else ".")


def _open(by: Mapping[str, list[Card]], steps: NextSteps) -> Iterator[Bit]:
    waits, undecided = len(by["not-run"]), len(by["inconclusive"])
    yield Bit(f"{waits} were not run and {undecided} are not decided; ")
    yield Bit(steps.in_words())
    if by["invalid"]:
        yield Bit(f" The evidence of {plural(len(by['invalid']), 'claim')} cannot be trusted.")


def _is(found: Sequence[Card]) -> str:
    return "is" if len(found) == 1 else "are"


def _by(cards: Iterable[Card], key: Callable[[Card], str]) -> defaultdict[str, list[Card]]:
    found: defaultdict[str, list[Card]] = defaultdict(list)
    for card in cards:
        found[key(card)].append(card)
    return found


def _named(found: Sequence[Card]) -> Iterator[Bit]:
    """Links to the first claims, those about one part of the paper after its name."""
    for number, (about, mine) in enumerate(_by(found[:_NAMED], lambda card: card.about).items()):
        yield Bit(f"{', ' if number else ''}{about} (")
        yield from _linked(mine)
        yield Bit(")")
    if more := found[_NAMED:]:
        yield Bit(" and ")
        yield Bit(f"{len(more)} more", find=f"outcome={more[0].finding.outcome}")


def _linked(found: Sequence[Card]) -> Iterator[Bit]:
    for number, card in enumerate(found):
        if number:
            yield Bit(", ")
        yield Bit(card.finding.claim, card)


# -----------------------------------------------------------------------------
# The abstract


def abstract(
    entries: Sequence[Entry], cards: Mapping[tuple[str, str], Card]
) -> tuple[AbstractSentence, ...]:
    """Every sentence of the abstract in order, with what checks it."""
    return tuple(_sentence(entry, cards) for entry in entries)


def _sentence(entry: Entry, cards: Mapping[tuple[str, str], Card]) -> AbstractSentence:
    names = [tuple(each.split(":", 1)) for each in entry.claims]
    mine = [cards[name] for name in names if name in cards]  # type: ignore[index]  # two parts
    printed = [card for card in mine if card.finding.standing == "printed"]
    here = [
        card for card in printed if section_of(card.finding) == "Abstract" and card.finding.quote
    ]
    said = [card.finding.quote for card in here] or [card.finding.statement for card in printed]
    found = {card.finding.outcome for card in printed}
    word = next((each for each in WEAKEST if each in found), None)
    return AbstractSentence(
        quotes=_longest(said),
        word=word,
        why=tuple(c for c in printed if c.finding.outcome == word and word not in GOOD)[:_TOLD],
        cards=tuple(mine),
        aside=REASONS[entry.aside] if entry.aside else "",
    )


def _longest(texts: Iterable[str]) -> tuple[str, ...]:
    """Each once, and none that stands in another."""
    every = list(dict.fromkeys(texts))
    return tuple(
        text for text in every if not any(text in other and text != other for other in every)
    )
