"""Error rates of every rule under stopping when decided: `python -m benchmarks.stopping`.

The papers of `benchmarks.calibration`, drawn with the same chance, of which a run sees three
settings, then five, then all seven (`verify.stopping`): what is reproduced at a look stays so, what
its settings to come could hardly decide is given up, and the last look alone contradicts. One row a
kind of claim, as there; power with the settings that were spent, of seven. Where FP32 is screened,
all settings of a look have the answers of the first to what a screen did not see, as those of the
whole run have. `python -m benchmarks.stopping 1000 screened` prints those rows alone.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from benchmarks.calibration import (
    CELLS,
    CHANGES,
    KINDS,
    SEED,
    TRIALS,
    UNSEEN,
    Asked,
    Case,
    asked_of,
    decided,
    main,
    with_limit,
)
from benchmarks.machines import RARE, SETTINGS, World, draw
from repro.schema.evaluation.looks import AFTER
from repro.schema.finding import Outcome
from tools import command
from verify.decision_rule import ERROR_RATE, Decision, NumberTest, holm
from verify.look import Look, early, last, taking

ENDS = (*AFTER, SETTINGS)
"""Settings after which is looked."""
LAST, AHEAD = last(len(ENDS)), early(len(ENDS), 0, SETTINGS, ahead=True)

Spent = tuple[Outcome, float]
"""What was said, and after how many settings; of a table the mean over its numbers."""


def stopped(kind: str, world: World, case: Case, rng: np.random.Generator) -> Spent:
    """One paper, look by look: the same chance is drawn at each."""
    if kind in TRIALS:
        world = replace(world, unseen=UNSEEN) if "screened" in kind else world
        return table(world, case, rng, 0.5 if "one setting in ten" in kind else 0.0)
    state = rng.bit_generator.state

    def word(seen: int, look: Look) -> Outcome:
        rng.bit_generator.state = state
        with taking(look):
            return KINDS[kind](replace(world, seen=seen), case, rng)

    for seen in ENDS[:-1]:
        if word(seen, early(len(ENDS), seen, SETTINGS)) == "reproduced":
            return "reproduced", seen
        if word(seen, AHEAD) == "inconclusive":
            return "inconclusive", seen
    return word(SETTINGS, LAST), SETTINGS


def table(world: World, case: Case, rng: np.random.Generator, off_at_times: float) -> Spent:
    """24 numbers: each stops by itself, those that go on to the end are tested together.

    If one would be contradicted all get all of their settings, which guard.
    """
    off = case == "clearly false"
    world = replace(world, rare=off_at_times)
    rare = rng.random(CELLS) < RARE if off_at_times else np.zeros(CELLS)
    moved = [off_at_times * each + 0.5 * (off and not at) for at, each in enumerate(rare)]
    found = [_number(world, each, rng) for each in moved]
    tests, settings = [test for test, _, _ in found], [seen for _, seen, _ in found]
    for guards in ([test.deviation for test in tests], [all_ for _, _, all_ in found]):
        p_values = holm([test.p_value(max(guards)) for test in tests])
        if min(p_values) >= ERROR_RATE:
            return "inconclusive", float(np.mean(settings))
        settings = [SETTINGS]
    one = p_values[0] if off else min(p_values)
    return "contradicted" if one < ERROR_RATE else "inconclusive", SETTINGS


def _number(world: World, moved: float, rng: np.random.Generator) -> tuple[NumberTest, int, float]:
    """What one of them has to say to its table, after how many settings; deviation of them all."""
    state = rng.bit_generator.state

    def at(seen: int, look: Look) -> tuple[Decision, NumberTest, float]:
        rng.bit_generator.state = state
        with taking(look):
            paper = draw(replace(world, seen=seen), np.array([0.3]), rng, moved)
            found = decided(paper.ours, *paper.printed())
            assert found.test  # noqa: S101  # three settings have a spread
            return found, found.test, found.test.p_value(found.test.deviation)

    deviation = at(SETTINGS, LAST)[1].deviation
    for seen in ENDS[:-1]:
        found, test, _ = at(seen, early(len(ENDS), seen, SETTINGS))
        best, _, p = at(seen, AHEAD)
        if found.outcome == "reproduced" or not (best.outcome == "reproduced" or p < ERROR_RATE):
            return replace(test, off=0.0), seen, deviation
    found, test, _ = at(SETTINGS, LAST)
    test = replace(test, off=0.0) if found.outcome == "reproduced" else test
    return test, SETTINGS, deviation


# -----------------------------------------------------------------------------
# The table


@dataclass(frozen=True)
class Shares:
    """How often a word was said of some papers, and the settings that it took."""

    rate: float
    settings: float


def share(asked: Asked) -> Shares:
    """Of so many papers, by the chance of `benchmarks.calibration`."""
    rng = np.random.default_rng(
        [SEED, *asked.kind.encode(), asked.world.changes, *asked.case.encode()]
    )
    found = [stopped(asked.kind, asked.world, asked.case, rng) for _ in range(asked.count)]
    hits = sum(said == asked.outcome for said, _ in found)
    return Shares(hits / asked.count, float(np.mean([seen for _, seen in found])))


def report(count: int, over: Callable[..., Iterable[Shares]], named: str = "") -> Iterator[str]:
    """The table in Markdown, a row as soon as it is known.

    Args:
        count: Papers of each case; a fifth of it as tables of 24 numbers.
        over: What maps a function over what is asked.
        named: Of rows: only those whose name has it.
    """
    head = [f"c = {c:,}: reproduced / contradicted" for c in CHANGES]
    yield f"| kind of claim | false contradicted | false reproduced | {' | '.join(head)} |"
    yield "|---" * (3 + len(CHANGES)) + "|"
    for kind in filter(lambda kind: named in kind, KINDS):
        every = asked_of(kind, count)
        found = dict(zip(every, over(share, every), strict=True))
        cells = []
        errors: tuple[Case, ...] = ("true", "false")
        for case in errors:
            worst = max(one.rate for each, one in found.items() if each.case == case)
            cells.append(with_limit(worst, every[0].count))
        powers = {
            (each.world.changes, each.case): f"{one.rate:.2f} after {one.settings:.1f}"
            for each, one in found.items()
            if each.case.startswith("clearly")
        }
        if kind in TRIALS:
            cells[1] = "—"
        clear: tuple[Case, ...] = ("clearly true", "clearly false")
        cells += [" / ".join(powers[c, case] for case in clear[kind in TRIALS :]) for c in CHANGES]
        yield f"| {kind} | {' | '.join(cells)} |"


if __name__ == "__main__":
    command.run(partial(main, report))
