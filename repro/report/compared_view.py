"""A comparison as sections of plain words: what a terminal prints and a page shows alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from repro.report.comparison import MODULE, ComparedPair, Comparison
from repro.text import first_few, plural
from verify.side_by_side import AnswersCompared, Flip

_SMALL = 0.05
"""p below which a difference of accuracies is called beyond chance."""
_TEST = (
    "lost: right in A alone; won: right in B alone. p: McNemar's exact test, by Holm's method over "
    "all rows; interval: Clopper and Pearson's, which leaves out 0 just where a row has p < 0.05 "
    "before Holm's method"
)
_MOVED = (
    "nats, over all choices (by length: a character). beyond margin: questions in which a choice "
    "moved by more than lies between A's best two; changed: other answers, right or not"
)
_PASSED = "nats by which the two answers passed each other, small for a near tie"
_LARGEST = (
    "largest difference: over the largest value of that array; unlike: there on one side alone, or "
    "of two shapes"
)
_VALUES = 3
"""Numbers for people that are shown of a pair; JSON has all."""


@dataclass(frozen=True)
class Section:
    """A heading, a table under it, and what a reader has to know of it."""

    title: str
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


def sections(found: Comparison, most: int | None = None) -> tuple[Section, ...]:
    """Everything, in the order of reading; a section without content is left out.

    Args:
        found: Two sides.
        most: Flips that are shown, over all rows; all by default.
    """
    every = (_head(found), _made(found.pairs), _answers(found), _movement(found), _other(found))
    flips = [(pair.slot, row) for pair, row in _rows(found)]
    return tuple(each for each in (*every, flip_section(flips, most)) if each.rows or each.notes)


def _rows(found: Comparison) -> Iterator[tuple[ComparedPair, AnswersCompared]]:
    yield from ((pair, row) for pair in found.pairs for row in pair.answers)


def _head(found: Comparison) -> Section:
    same = sum(pair.records[0].key == pair.records[1].key for pair in found.pairs)
    notes = [
        f"{plural(len(found.pairs), 'pair')} of records, {len(found.pairs) - same} with two keys"
    ]
    if any(found.alone):
        notes.append(f"in A alone {found.alone[0]}, in B alone {found.alone[1]}: not compared")
    headings = ("", "", "records", "made on")
    rows = []
    for at, name in enumerate("AB"):
        records = {pair.records[at].key: pair.records[at] for pair in found.pairs}
        shown = first_few([key[:12] for key in records])
        machines = dict.fromkeys(each.hardware for each in records.values())
        by = [each.imported for each in records.values() if each.imported]
        if by:
            notes.append(
                f"{name}: {plural(len(by), 'record')} imported: {first_few([*{*by}])} ran it"
            )
        rows.append((name, found.sides[at], shown, first_few(list(machines))))
    return Section("A is the reference", headings, tuple(rows), tuple(notes))


def _made(pairs: Sequence[ComparedPair]) -> Section:
    """What differs in how they were made; what no number hangs on is named alone."""
    counts: dict[tuple[str, str, str], int] = {}
    idle: dict[str, None] = {}
    modules: dict[str, None] = {}
    for pair in pairs:
        for each in pair.differences:
            if each.touches is None:
                idle[each.what] = None
                continue
            if each.what.startswith(MODULE):
                modules[each.what.removeprefix(MODULE)] = None
                continue
            at = each.what, each.here or "—", each.there or "—"
            counts[at] = counts.get(at, 0) + 1
    rows = tuple(
        (*at, "all" if count == len(pairs) else f"{count} of {len(pairs)}")
        for at, count in counts.items()
    )
    notes = [] if rows or modules else ["nothing that a number could hang on differs"]
    if modules:
        names = first_few(list(modules))
        notes.append(f"other code of ours: {plural(len(modules), 'module')}, {names}")
    if idle:
        notes.append(f"differs too, and moves none of these numbers: {first_few(list(idle), 6)}")
    return Section("How they were made", ("what", "A", "B", "in pairs"), rows, tuple(notes))


def _answers(found: Comparison) -> Section:
    adjusted = list(chain.from_iterable(pair.p_adjusted for pair in found.pairs))
    rows = tuple(
        (
            pair.slot,
            _asked(row),
            f"{row.questions:,}",
            *(f"{100 * share:.2f}" for share in row.accuracies),
            f"{row.lost} / {row.won}",
            _interval(row),
            f"{p:.2g}",
        )
        for (pair, row), p in zip(_rows(found), adjusted, strict=True)
    )
    if not rows:
        return Section("")
    beyond = sum(p < _SMALL for p in adjusted)
    notes = (
        f"accuracy differs beyond chance in {beyond} of {plural(len(rows), 'row')} (p < {_SMALL})",
        _TEST,
    )
    headings = ("slot", "asked", "questions", "A %", "B %", "lost / won", "B − A, points", "p")
    return Section("Answers to the same questions", headings, rows, notes)


def _interval(row: AnswersCompared) -> str:
    if row.interval is None:
        return "0, no flip"
    low, high = row.interval
    return f"{row.difference:+.2f} ({low:+.2f} to {high:+.2f})"


def _movement(found: Comparison) -> Section:
    rows = []
    for pair, row in _rows(found):
        if moved := row.movement:
            beyond = "—" if moved.beyond_margin is None else f"{100 * moved.beyond_margin:.2f} %"
            changed = "—" if row.changed is None else f"{row.changed:,}"
            numbers = f"{moved.median:.3g}", f"{moved.percentile_99:.3g}", beyond, changed
            rows.append((pair.slot, _asked(row), *numbers, str(moved.not_finite)))
    notes = (_MOVED,) if rows else ()
    headings = ("slot", "asked", "median", "99 %", "beyond margin", "changed", "no number")
    return Section("How far log-likelihoods moved", headings, tuple(rows), notes)


def flip_section(compared: Sequence[tuple[str, AnswersCompared]], most: int | None) -> Section:
    """Flips as a table, the most telling first, by id: a data set's text is never shown.

    Args:
        compared: Name of the slot, and what was compared.
        most: Flips that are shown; all by default.
    """
    flips = [(slot, row, flip) for slot, row in compared for flip in row.flips]
    flips.sort(key=lambda each: -(each[2].moved or 0.0))
    rows = tuple(
        (
            flip.question,
            slot,
            _asked(row),
            _letter(flip.gold),
            *(_side(flip, at) for at in (0, 1)),
            "—" if flip.moved is None else f"{flip.moved:.3g}",
        )
        for slot, row, flip in flips[:most]
    )
    total = sum(row.lost + row.won for _, row in compared)
    notes = [f"{len(rows)} of {plural(total, 'flip')}; moved: {_PASSED}"] if rows else []
    headings = ("question", "slot", "asked", "gold", "A", "B", "moved")
    return Section("Most telling questions", headings, rows, tuple(notes))


def _side(flip: Flip, at: int) -> str:
    """Answer of one side and its scores, the right side marked."""
    right = flip.right == ("reference", "candidate")[at]
    scores = " ".join("none" if each is None else f"{each:.4g}" for each in flip.scores[at])
    answer = _letter(flip.answers[at])
    return f"{answer}{' right' if right else ''} ({scores})" if scores else answer


def _letter(choice: int | None) -> str:
    return "word" if choice is None else chr(ord("A") + choice)


def _asked(row: AnswersCompared) -> str:
    norm = ", by length" if row.metric == "accuracy_norm" else ""
    return f"{row.task}, {plural(row.shots, 'shot')}{norm}"


def _other(found: Comparison) -> Section:
    """Pairs of another kind of job: their arrays, and numbers for people."""
    rows = []
    for pair in found.pairs:
        if pair.arrays is None:
            continue
        apart = sorted(pair.arrays.apart.items(), key=lambda each: -each[1])
        most = f"{apart[0][1]:.2g} in {apart[0][0]}" if apart else "—"
        numbers = [
            (abs(other - one) / max(abs(one), abs(other)), f"{name} {one:,.6g} → {other:,.6g}")
            for name, (one, other) in pair.values.items()
            if isinstance(one, int | float) and isinstance(other, int | float)
        ]
        said = [each for _, each in sorted(numbers, key=lambda each: -each[0])]
        counts = (pair.arrays.equal, len(apart), len(pair.arrays.unlike))
        rows.append((pair.slot, *map(str, counts), most, first_few(said, _VALUES) or "—"))
    notes = (_LARGEST,) if rows else ()
    headings = ("slot", "equal", "apart", "unlike", "largest difference", "numbers that differ")
    title = "Arrays, bit for bit"
    return Section(title, headings, tuple(rows), notes)
