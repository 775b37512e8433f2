"""Error rates of the decision rule, by simulation: `python -m benchmarks.calibration`.

Papers and settings of ours are drawn from `benchmarks.flip_process`, so that the truth is
known, and each is decided by `verify.decision_rule` as it stands: `decide` for a number, `holm`
over a table of 24. Four tables: a published value from the same process; a process whose
mean is just at the margin; power; and the rules of others on the same draws.

A goal is a bound on a probability. "holds" or "missed" if the 95 % interval (Wilson) lies
on one side of it, else "at the bound". Scenarios were fixed before they were run; what is
missed stays in the table.

    s   true standard deviation of the divergence between settings
    h   half a printed unit plus input rounding, 0.005 + 0.01 points
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks import flip_process, peer_rules
from benchmarks.decision_trials import (
    FLOOR,
    SEED,
    UNDECIDABLE,
    Case,
    H,
    Outcomes,
    Share,
    decided,
    draw,
    moments,
    standing,
)
from benchmarks.flip_process import Floats, everywhere, steady
from benchmarks.scenarios import AT_MARGIN, NOISE, POWER, TABLE_1, off_by, on_the_margin
from verify.decision_rule import ERROR_RATE

COUNT, CELLS = 20_000, 24

Over = Callable[..., Iterable[Any]]
"""`map`, or that of a process pool."""

# -----------------------------------------------------------------------------
# Tables


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of Markdown."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def identical(count: int, over: Over) -> Iterator[str]:
    """The published value is one more draw of our process."""
    tables = max(1, count // 10)
    cases = [Case(name, process) for name, process in NOISE.items()]
    found = list(over(partial(decided, count=tables * CELLS), cases))
    printed = [Case(f"cell {text}", steady(float(text), 36)) for text in TABLE_1]
    columns = list(over(partial(decided, count=tables), printed))
    outcomes, p_values = (np.stack(each, axis=1).ravel() for each in zip(*columns, strict=True))
    found.append((outcomes, p_values))
    rows = []
    for name, (what, p) in zip([*NOISE, "Table 1's 24 values, 36 flips"], found, strict=True):
        tabled = zip(what.reshape(tables, CELLS), p.reshape(tables, CELLS), strict=True)
        wrong = np.array([standing(*each).any() for each in tabled])
        rows.append(
            (
                name,
                f"{(what == UNDECIDABLE).mean():.3f}",
                f"{(what == 'reproduced').mean():.3f}",
                Share.among(what == "contradicted").against(ERROR_RATE, at_most=True),
                Share.among(wrong).against(ERROR_RATE, at_most=True),
            )
        )
    head = ("ours is the paper's process", UNDECIDABLE, "reproduced", "contradicted (≤ 0.05)")
    yield from table((*head, "any of 24, Holm (≤ 0.05)"), rows)


def at_the_margin(count: int, over: Over) -> Iterator[str]:
    """The published value is fixed, and the mean of our process just at its margin."""
    found = list(over(partial(moments, count=count), [each[1] for each in AT_MARGIN]))
    cases = [
        on_the_margin(*row, hidden, mean)
        for row, (mean, _) in zip(AT_MARGIN, found, strict=True)
        for hidden in (0, H)
    ]
    shares = [
        Share.among(what == "reproduced").against(ERROR_RATE, at_most=True)
        for what, _ in over(partial(decided, count=count), cases)
    ]
    rows = [
        (row[0], f"{s:.4f}", cases[2 * i].margin, *shares[2 * i : 2 * i + 2])
        for i, (row, (_, s)) in enumerate(zip(AT_MARGIN, found, strict=True))
    ]
    head = (
        "our mean is just at the margin",
        "s",
        "margin",
        "of the printed value: reproduced (≤ 0.05)",
    )
    yield from table((*head, "of the value before rounding, h away: reproduced (≤ 0.05)"), rows)


def power(count: int, over: Over) -> Iterator[str]:
    """A margin of three s, and ours no, one and three margins off what the paper drew from."""
    spreads = [s for _, s in over(partial(moments, count=count), [each[1] for each in POWER])]
    cases = [
        off_by(*row, s, margins)
        for row, s in zip(POWER, spreads, strict=True)
        for margins in (0, 1, 3)
    ]
    found = list(over(partial(decided, count=count), cases))
    rows = []
    for i, (name, _, settings) in enumerate(POWER):
        (same, p_same), (edge, _), (off, p_off) = found[3 * i : 3 * i + 3]
        rows.append(
            (
                f"{name}, {settings} settings",
                f"{spreads[i]:.4f}",
                f"{(same == UNDECIDABLE).mean():.3f}",
                Share.among(same == "reproduced").against(0.8, at_most=False),
                f"{(edge == 'reproduced').mean():.3f}",
                Share.among(edge == "contradicted").against(ERROR_RATE, at_most=True),
                Share.among(off == "contradicted").against(0.9, at_most=False),
                *(f"{each:.3f}" for each in in_a_table(same, p_same, off, p_off)),
            )
        )
    head = ("margin = 3 s", "s", UNDECIDABLE, "nothing off: reproduced (≥ 0.80)")
    edge_head = ("1 margin off: reproduced", "contradicted (≤ 0.05)")
    last = ("3 margins off: contradicted (≥ 0.90)", "alone in 24, Holm", "with 23 such, Holm")
    yield from table((*head, *edge_head, *last), rows)


def in_a_table(same: Outcomes, p_same: Floats, off: Outcomes, p_off: Floats) -> tuple[float, float]:
    """How often a shifted number stands contradicted in a table of 24, alone and among such."""
    rows, others = np.arange(len(off))[:, None], CELLS - 1
    rest = (rows * others + np.arange(others)) % len(same)
    alone = [
        standing(outcomes, p)[0]
        for outcomes, p in zip(
            np.hstack([off[:, None], same[rest]]),
            np.hstack([p_off[:, None], p_same[rest]]),
            strict=True,
        )
    ]
    whole = len(off) // CELLS * CELLS
    tables = zip(off[:whole].reshape(-1, CELLS), p_off[:whole].reshape(-1, CELLS), strict=True)
    return float(np.mean(alone)), float(np.mean([standing(*each) for each in tables]))


def agreeing(case: Case, count: int) -> list[str]:
    """Ours and each peer rule on the same draws: share of agreeing and of differing."""
    right, texts = draw(case, count)
    runs, printed = flip_process.divergences(right), np.array(texts, float)
    outcomes, _ = decided(case, count)
    ours = [(outcomes == each).mean() for each in ("reproduced", "contradicted")]
    agree = [rule(runs, printed, right).mean() for rule in peer_rules.RULES.values()]
    return [f"{yes:.3f} / {no:.3f}" for yes, no in (ours, *((each, 1 - each) for each in agree))]


def peers(count: int, over: Over) -> Iterator[str]:
    """The rules of others beside ours, on one cell of s = 0.05 and on one at the floor."""
    mean, _ = moments(steady(0.45, 100), count)
    cell, nothing = steady(0.3, 100), steady(0, 100)
    cases = [
        Case("identical", cell, margin="0.15"),
        on_the_margin("at the margin of 0.30", steady(0.45, 100), "0.30", 5, 0, mean),
        Case("1 margin off", cell, margin="0.15", extra=everywhere(0.15)),
        Case("3 margins off", cell, margin="0.15", extra=everywhere(0.45)),
        Case("floor, identical", nothing),
        Case("floor, 1 point off", nothing, extra=everywhere(1.0)),
    ]
    found = over(partial(agreeing, count=count), cases)
    rows = [(case.name, *shares) for case, shares in zip(cases, found, strict=True)]
    yield from table(("agrees / differs", "ours", *peer_rules.RULES), rows)


def report(count: int, over: Over) -> Iterator[str]:
    """All tables, in Markdown.

    Args:
        count: Replicates of each case; a tenth of it as tables of 24 numbers.
        over: What maps a function over cases.
    """
    for part in (identical, at_the_margin, power, peers):
        yield from part(count, over)


def main() -> None:
    """Print the tables, and how long they took."""
    started = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        for line in report(COUNT, pool.map):
            print(line, flush=True)
    print(
        f"{COUNT:,} replicates a row, {COUNT // 10:,} tables of {CELLS}; seed {SEED}; s never "
        f"below {FLOOR:.4f}, h {H:.3f}; {time.perf_counter() - started:.0f} s on two cores"
    )


if __name__ == "__main__":
    main()
