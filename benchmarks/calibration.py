"""Error rates of every rule that decides, by simulation: `python -m benchmarks.calibration`.

`python -m benchmarks.calibration 1000 screened` prints the rows alone whose name has that word.

Papers are drawn on two machines (`benchmarks.machines`), so that the truth is known, and each is
decided by `verify` as it stands. One table, a row a kind of claim:

    false contradicted   of what is true, and just so where there is a border
    false reproduced     of what is false, and just so where there is a border
    power                reproduced of what is clearly true, contradicted of what is clearly false

The errors are the worst over worlds: each c of `CHANGES`, all of them drawn anew on their
machine with one kernel of ours, or half of them with two. Scenarios were fixed before they ran;
what is missed stays in the table.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import product
from typing import Literal

import numpy as np

from benchmarks import peer_rules
from benchmarks.machines import (
    POINT,
    QUESTIONS,
    RARE,
    RIGHT,
    SETTINGS,
    SHOTS,
    Drawn,
    H,
    Points,
    World,
    as_measured,
    draw,
)
from repro.schema import catalog
from repro.schema.finding import Outcome
from repro.schema.measured_claims import ConcordanceClaim
from tools import command
from verify import noise, shown
from verify.decision_rule import ERROR_RATE, Decision, decide, holm, most_likely_changes
from verify.divergences import Divergences
from verify.rules import model, trend, tuned
from verify.rules.improvement import Sentence, at_least, decide_sentence
from verify.rules.improvement_values import Series, decide_ratio

COUNT = 1_000
TABLES, CELLS = 200, 24
SEED = 240_600_209
_SEEN = catalog.datasets()["mmlu"].changes.dtypes
CHANGES = (_SEEN["float16"][0], _SEEN["bfloat16"][0], _SEEN["bfloat16"][5], QUESTIONS // 10)
"""c: a real model's in FP16 at 0 shots and in BF16 at 0 and at 5 shots, and one answer in ten."""

Case = Literal["true", "false", "clearly true", "clearly false"]
Trial = Callable[[World, Case, np.random.Generator], Outcome]
Over = Callable[..., Iterable[float]]
"""`map`, or that of a process pool."""


def worlds(changes: int) -> tuple[World, World]:
    """Everything drawn anew and only c known; half of it, and two kernels that tell."""
    return World(changes), World(changes, redrawn=0.5, kernels=True)


# -----------------------------------------------------------------------------
# Printed numbers

MARGIN = "0.5"
_FAR = 1.2
"""Points: a divergence that no coin flips give."""


def decided(ours: Divergences, text: str) -> Decision:
    """One number, as `verify.rules.model` asks it."""
    return decide(
        ours.sample,
        text,
        MARGIN,
        least_spread=ours.least_spread,
        input_rounding=Decimal("0.01"),
        null=ours.null,
    )


def number(
    world: World, case: Case, rng: np.random.Generator, cells: int = 1, size: float = _FAR
) -> Outcome:
    """A cell, or the mean of some."""
    moved = 0.5 if case == "clearly false" else 0.0
    paper = draw(world, np.full(cells, size), rng, moved)
    text = f"{np.mean([float(each) for each in paper.printed()]):.2f}"
    if case == "false":  # the mean over machines is one margin off what is printed
        text = f"{size + float(MARGIN):.2f}"
    return word(decided(paper.ours, text))


def word(found: Decision) -> Outcome:
    """Of a number that is alone in its table."""
    if found.outcome == "reproduced":
        return "reproduced"
    p = found.test.p_value(found.test.deviation) if found.test else 1.0
    return "contradicted" if p < ERROR_RATE else "inconclusive"


def table(world: World, case: Case, rng: np.random.Generator, off_at_times: float = 0.0) -> Outcome:
    """24 numbers, Holm and guard over all: any of them contradicted, or the one that is off.

    One setting in ten may be so many points off, and theirs may be such a one.
    """
    off = case == "clearly false"
    world = replace(world, rare=off_at_times)
    rare = rng.random(CELLS) < RARE if off_at_times else np.zeros(CELLS)
    moved = [off_at_times * each + 0.5 * (off and not at) for at, each in enumerate(rare)]
    p_values = adjusted([draw(world, np.array([0.3]), rng, each) for each in moved])
    return "contradicted" if min(p_values[:1] if off else p_values) < ERROR_RATE else "inconclusive"


def adjusted(papers: Sequence[Drawn]) -> list[float]:
    """p-values of the numbers of one table, as `verify.judge` adjusts them."""
    tests = [decided(each.ours, *each.printed()).test for each in papers]
    guard = max(test.deviation for test in tests if test)
    return holm([test.p_value(guard) if test else 1.0 for test in tests])


UNSEEN = 5
"""Answers of FP32 that a screen does not see, as many as a setting flips in low precision."""


def screened(trial: Trial, world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """The same where FP32 was asked in part after the first setting, and flips unseen."""
    return trial(replace(world, unseen=UNSEEN), case, rng)


# -----------------------------------------------------------------------------
# Sentences that compare divergences


def _sides(
    world: World, left: Points, right: Points, rng: np.random.Generator
) -> tuple[Drawn, Drawn]:
    return draw(world, left, rng), draw(world, right, rng)


def ordering(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """The mean of five cells is at most that of five others; both equal at the border."""
    apart = {"clearly true": -0.5, "clearly false": 0.5}.get(case, 0.0)
    left, right = _sides(world, np.full(5, _FAR + apart), np.full(5, _FAR), rng)
    return model.compare("at-most", left.ours, right.ours, 2 * H)[0]


def significantly(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """It is smaller by more than coin flips give; by just as much at the border."""
    right = draw(world, np.full(5, 2 * _FAR), rng)
    apart = {"clearly true": -0.5, "clearly false": right.ours.null + 0.5}.get(case, 0.0)
    left = draw(world, np.full(5, 2 * _FAR - right.ours.null + apart), rng)
    return model.compare("smaller-beyond-null", left.ours, right.ours, 2 * H)[0]


def on_par(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """Two means differ by less than the cells of the right side spread over, 0.8 points."""
    spread = _FAR + np.linspace(0, 0.8, 5)
    apart = {"clearly true": 0.0, "clearly false": 1.4}.get(case, 0.8)
    left, right = _sides(world, np.full(5, spread.mean() + apart), spread, rng)
    return model.compare("within-spread", left.ours, right.ours, 2 * H)[0]


def count(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """How many of five cells lie above 1 point; one is just there at the border."""
    shifts = np.array([0.3, 0.3, 0.3, 1.8, 1.0 if case in ("true", "false") else 1.8])
    paper = draw(world, shifts, rng)
    above = sum(float(each) > 1 for each in paper.printed())
    printed = above + {"false": 1 if above == 1 else -1, "clearly false": 1}.get(case, 0)
    each = [_cell(paper.ours, at) for at in range(5)]
    return shown.count_sides(printed, *model.count_above(each, 1.0, H))[0]


def bars(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """For each of four groups the mean over three models is below another's; all equal at worst."""
    apart = {"clearly true": -0.5, "clearly false": 0.5}.get(case, 0.0)
    held = []
    for at in range(4):
        off = apart if at == 0 or case != "false" else -0.5  # one of four at its border
        left, right = _sides(world, np.full(3, _FAR + off), np.full(3, _FAR), rng)
        held.append(tuned.below(left.ours, right.ours, 4))
    if all(each == 1 for each in held):
        return "reproduced"
    return "contradicted" if -1 in held else "inconclusive"


def steps(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """Two series of five go the same way at every step; one step is level at the border."""
    return _trend(world, case, rng, "steps")


def ranks(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """They are in the same order."""
    return _trend(world, case, rng, "ranks")


def _trend(
    world: World, case: Case, rng: np.random.Generator, by: Literal["steps", "ranks"]
) -> Outcome:
    up = _FAR + np.arange(5) * 0.6
    other = up.copy()
    if case in ("true", "false"):
        other[1] = other[0]
    elif case == "clearly false":
        other[[0, 1]] = other[[1, 0]]
    return _concordance(world, (up, other), by, None, rng)


def spikes(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """They lie above 1 point at the same places; one is just there at the border."""
    one, other = np.array([0.3, 0.3, 1.8, 0.3, 1.8]), np.array([0.3, 0.3, 1.8, 0.3, 1.8])
    if case in ("true", "false"):
        other[4] = 1.0
    elif case == "clearly false":
        other[4] = 0.3
    return _concordance(world, (one, other), "spikes", "1", rng)


def _concordance(
    world: World,
    shifts: tuple[Points, Points],
    by: Literal["steps", "ranks", "spikes"],
    above: str | None,
    rng: np.random.Generator,
) -> Outcome:
    claim = ConcordanceClaim.model_construct(by=by, above=above)
    drawn = [draw(world, each, rng).ours for each in shifts]
    series = [[_cell(each, at) for at in range(5)] for each in drawn]
    return trend.decide_concordance(claim, series, H)[0]


def _cell(cells: Divergences, at: int) -> Divergences:
    """One of them by itself."""
    signed, changes = (cells.net * POINT)[:, at : at + 1], cells.changes[at : at + 1]
    return as_measured(signed, changes, cells.apart[at : at + 1])


# -----------------------------------------------------------------------------
# Scores and what is said of improvements: half of what two kernels change is the machine's


def _series(world: World, truth: float, rng: np.random.Generator) -> tuple[Series, float]:
    """A score over the questions of one evaluation, and theirs."""
    own = round(world.changes * world.redrawn)
    signed = [truth + POINT * (2.0 * rng.binomial(own, 0.5, 2) - own) for _ in range(2)]
    ours, theirs = signed[0], signed[1][0]
    kernels = ours[[0] * (SETTINGS - 2) + [1] * 2]
    values = kernels + POINT * (2.0 * rng.binomial(world.settings, 0.5, SETTINGS) - world.settings)
    values = values[world.shown()]
    machine = most_likely_changes(2 * own + 2 * world.settings) / 2 * POINT**2
    return Series(tuple(values.tolist()), 3 * POINT, machine), float(theirs)


def wins(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """How many of 35 scores one arm wins; one is a tie at the border."""
    truth = np.full(35, 1.2)
    truth[:3] = -1.2
    truth[3] = 0.0 if case in ("true", "false") else 1.2
    margins = [_series(world, each, rng) for each in truth]
    won = sum(theirs > 0 for _, theirs in margins)
    printed = won + {"false": 1 if won < 32 else -1, "clearly false": 1}.get(case, 0)  # noqa: PLR2004
    spans = [noise.intervals_of(each.sample, 35).draw for each, _ in margins]
    sure, possible = sum(low > 0 for low, _ in spans), sum(high > 0 for _, high in spans)
    return shown.count_sides(printed, sure, possible)[0]


def improvement(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """Most of five models improve; at the border two do, two do not, and one is level."""
    truth = {"clearly true": 1.2, "clearly false": -1.2}.get(case, 0.0)
    values = [1.2, 1.2, truth, truth, truth]
    if truth == 0:  # one model is at its border
        values[-2:] = -1.2, -1.2
    conditions = [_series(world, each, rng)[0] for each in values]
    return decide_sentence(Sentence(conditions, at_least(3)))[0]


def ratio(world: World, case: Case, rng: np.random.Generator) -> Outcome:
    """One improvement is 82 % of another, printed with a margin of 9."""
    right, theirs = _series(world, 20.0, rng)
    left, of_theirs = _series(world, 20.0 * (0.91 if case == "false" else 0.82), rng)
    text = f"{100 * of_theirs / theirs:.0f}" if case != "false" else "82"
    if case == "clearly false":
        text = f"{100 * of_theirs / theirs - 20:.0f}"
    values = [100 * a / b for a, b in zip(left.values, right.values, strict=True)]
    return word(decide_ratio(([left], [right]), values, text, "9"))


KINDS: dict[str, Trial] = {
    "a number (margin 0.5; off by 0.5)": number,
    "a mean of five (the same)": partial(number, cells=5),
    "24 numbers, Holm (one off by 0.5)": table,
    "24 numbers, one setting in ten 0.5 off": partial(table, off_at_times=0.5),
    "a number, FP32 screened (off by 0.5)": partial(screened, number),
    "24 numbers, Holm, FP32 screened (one off by 0.5)": partial(screened, table),
    "at most (0.5 apart)": ordering,
    "at most, FP32 screened (0.5 apart)": partial(screened, ordering),
    "significantly smaller (0.5 beyond coin flips)": significantly,
    "on par (spread 0.8; 0 or 1.4 apart)": on_par,
    "a count above 1 (cells at 0.3 and 1.8)": count,
    "every bar smaller (0.5 apart)": bars,
    "the same steps (0.6 each)": steps,
    "the same ranks (0.6 each)": ranks,
    "the same spikes (cells at 0.3 and 1.8)": spikes,
    "wins of 35 scores (by 1.2)": wins,
    "most of five improve (by 1.2)": improvement,
    "a ratio (82 %, margin 9; off by 20)": ratio,
}
"""Row of the table, with what is clearly true or false, to its trial. Of tables of 24 numbers what
counts is whether any is contradicted."""

TRIALS: dict[str, int] = {name: TABLES for name in KINDS if name.startswith("24")}


# -----------------------------------------------------------------------------
# The table


@dataclass(frozen=True)
class Asked:
    """One cell of the table: how often a rule says a word."""

    kind: str
    world: World
    case: Case
    outcome: Outcome
    count: int


def share(asked: Asked) -> float:
    """How often, of so many papers."""
    rng = np.random.default_rng(
        [SEED, *asked.kind.encode(), asked.world.changes, *asked.case.encode()]
    )
    trial = KINDS[asked.kind]
    hits = sum(trial(asked.world, asked.case, rng) == asked.outcome for _ in range(asked.count))
    return hits / asked.count


def asked_of(kind: str, count: int) -> list[Asked]:
    """Everything that a row needs."""
    trials = max(2, count * TRIALS.get(kind, COUNT) // COUNT)
    errors: Sequence[tuple[Case, Outcome]] = (("true", "contradicted"), ("false", "reproduced"))
    powers: Sequence[tuple[Case, Outcome]] = (
        ("clearly true", "reproduced"),
        ("clearly false", "contradicted"),
    )
    every = product(CHANGES, errors)
    found = [Asked(kind, w, *each, trials) for c, each in every for w in worlds(c)]
    half = [World(c, redrawn=0.5) for c in CHANGES]
    if kind.startswith(("wins", "most", "a ratio")):  # nothing tells of a machine but two kernels
        half = [World(c, redrawn=0.5, kernels=True) for c in CHANGES]
    return found + [Asked(kind, w, *each, trials) for w, each in product(half, powers)]


def report(count: int, over: Over, named: str = "") -> Iterator[str]:
    """The table of all rules, and that of the rules of others, in Markdown.

    Args:
        count: Papers of each case; a fifth of it as tables of 24 numbers.
        over: What maps a function over what is asked.
        named: Of rows: only those whose name has it, and no rules of others.
    """
    kinds = [kind for kind in KINDS if named in kind]
    every = [each for kind in kinds for each in asked_of(kind, count)]
    found = dict(zip(every, over(share, every), strict=True))
    head = [f"c = {c:,}: reproduced / contradicted" for c in CHANGES]
    yield f"| kind of claim | false contradicted | false reproduced | {' | '.join(head)} |"
    yield "|---" * (3 + len(CHANGES)) + "|"
    for kind in kinds:
        mine = {each: rate for each, rate in found.items() if each.kind == kind}
        cells = []
        for case in ("true", "false"):
            worst, trials = max(
                (rate, each.count) for each, rate in mine.items() if each.case == case
            )
            cells.append(with_limit(worst, trials))
        for c in CHANGES:
            powers = [
                next(
                    rate
                    for each, rate in mine.items()
                    if each.world.changes == c and each.case == case
                )
                for case in ("clearly true", "clearly false")
            ]
            cells.append(" / ".join(f"{power:.2f}" for power in powers))
        if kind.startswith("24"):
            cells[1] = "—"
            cells[2:] = [cell.partition(" / ")[2] for cell in cells[2:]]
        yield f"| {kind} | {' | '.join(cells)} |"
    if not named:
        yield ""
        yield from peers(count)


def with_limit(rate: float, trials: int) -> str:
    """A share, with its upper 95 % limit (Clopper-Pearson)."""
    from scipy.special import betaincinv

    hits = round(rate * trials)
    limit = float(betaincinv(hits + 1, trials - hits, 0.95)) if hits < trials else 1.0
    return f"{rate:.3f} (≤ {limit:.3f})"


def peers(count: int) -> Iterator[str]:
    """The rules of others on the same draws: how often each agrees, and so how often it differs."""
    cases = {
        f"{name}, c = {c}": (World(c, 0.5), moved)
        for name, moved in (("identical", 0.0), ("half a point off", 0.5))
        for c in CHANGES[1:3]
    }
    yield f"| agrees / differs | ours | {' | '.join(peer_rules.RULES)} |"
    yield "|---" * (2 + len(peer_rules.RULES)) + "|"
    for name, (world, moved) in cases.items():
        rng = np.random.default_rng([SEED, *name.encode()])
        papers = [draw(world, np.array([_FAR]), rng, moved) for _ in range(count)]
        printed = np.array([float(each.printed()[0]) for each in papers])
        runs = np.array([each.ours.values for each in papers])
        right = np.full((count, SETTINGS, 2, SHOTS), RIGHT)
        case: Case = "clearly false" if moved else "clearly true"
        words = [number(world, case, rng) for _ in range(count)]
        ours = [words.count(each) / count for each in ("reproduced", "contradicted")]
        agree = [float(rule(runs, printed, right).mean()) for rule in peer_rules.RULES.values()]
        shares = [ours, *([each, 1 - each] for each in agree)]
        yield f"| {name} | {' | '.join(f'{yes:.2f} / {no:.2f}' for yes, no in shares)} |"


def main(report: Callable[[int, Over, str], Iterator[str]] = report) -> None:
    """Print the lines of a report and how long it took; the command may say papers and rows."""
    parser = command.parser(sys.modules[report.__module__].__doc__)
    parser.add_argument("count", nargs="?", type=int, default=COUNT, help="papers of each case")
    parser.add_argument("named", nargs="?", default="", help="only rows whose name has it")
    asked = parser.parse_args()
    count, named = asked.count, asked.named
    if count < TABLES:
        parser.error(f"found {count} papers, expected {TABLES} or more")
    started = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        for line in report(count, partial(pool.map, chunksize=2), named):
            print(line, flush=True)
    taken = time.perf_counter() - started
    print(f"\n{count:,} papers a number; seed {SEED}; {taken:.0f} s on two cores")


if __name__ == "__main__":
    command.run(main)
