"""Which prefixes are run once.

Oracles: the sequences themselves, put together again from the path to each leaf; the tokens of
all sequences one by one; plans worked out by hand.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.evaluation import prefix_tree
from runner.evaluation.prefix_tree import Group, Limits, Tokens, plan_groups

ROOMY = Limits(positions=1 << 16, memory=1 << 40, row=1, token=1)


def paths(
    group: Group, tokens: list[Tokens], limits: Limits, before: list[Tokens], held: int = 0
) -> Iterator[tuple[int, Tokens, int, int]]:
    """Sequence, tokens on its path, tokens of its batch with padding, bytes held meanwhile."""
    lengths = [len(each) for each in tokens]
    for batch in group.batches(lengths, limits):
        longest = max(lengths[place] for _, place in batch)
        padded = len(batch) * (longest - group.length)
        state = len(batch) * (limits.row + limits.token * longest)
        state = state / limits.blocks + (state if len(group.members) > 1 else 0)
        for row, place in batch:
            path = np.concatenate([before[row], tokens[place][group.length :]])
            yield place, path, padded, held + state if len(batch) > 1 else 0
    for below in group.groups:
        rows = [
            np.concatenate([before[parent], tokens[place][group.length : below.length]])
            for parent, place in zip(below.parents, below.members, strict=True)
        ]
        kept = len(rows) * (limits.row + limits.token * below.length) if len(rows) > 1 else 0
        yield from paths(below, tokens, below.below(limits), rows, held + kept)


def run_once(group: Group, tokens: list[Tokens], before: int = 0) -> int:
    """Tokens that a plan runs, without padding."""
    leaves = sum(len(tokens[place]) - group.length for _, place in group.leaves)
    new = len(group.members) * (group.length - before)
    return leaves + new + sum(run_once(below, tokens, group.length) for below in group.groups)


@pytest.fixture(params=[0, 2, 8], scope="module")
def prices(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small prices let small examples have groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_tree, "ROW", request.param)
        yield


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Tokens], list[int], Limits]:
    """Sequences grown from each other, how many tokens of each may be shared, and limits."""
    grown: set[tuple[int, ...]] = {()}
    for _ in range(draw(st.integers(1, 25))):
        start = draw(st.sampled_from(sorted(grown)))
        start = start[: draw(st.integers(0, len(start)))]
        more = draw(st.lists(st.integers(0, 3), min_size=1, max_size=12))
        grown.add((*start, *more))
    tokens = [np.array(each, dtype=np.int64) for each in sorted(grown - {()})]
    tokens = draw(st.permutations(tokens))
    free = [draw(st.integers(0, len(each) - 1)) for each in tokens]
    limits = Limits(
        positions=draw(st.integers(1, 100)),
        memory=draw(st.integers(0, 2000)),
        row=draw(st.integers(0, 5)),
        token=draw(st.integers(0, 5)),
        falling=draw(st.booleans()),
        call=draw(st.sampled_from((1, 6, 1024))),
        blocks=draw(st.integers(1, 3)),
    )
    return tokens, free, limits


@pytest.mark.usefixtures("prices")
@given(cases())
def test_every_sequence_is_covered_exactly_once(
    case: tuple[list[Tokens], list[int], Limits],
) -> None:
    tokens, free, limits = case
    root = plan_groups(tokens, free, limits)
    seen = []
    for place, path, padded, held in paths(root, tokens, limits, [np.array([], np.int64)]):
        assert path.tolist() == tokens[place].tolist()
        assert padded <= max(limits.positions, len(tokens[place]))
        assert held <= limits.memory
        seen.append(place)
    assert sorted(seen) == list(range(len(tokens)))
    assert run_once(root, tokens) <= sum(map(len, tokens))


@pytest.mark.usefixtures("prices")
@given(cases())
def test_nothing_that_is_read_is_in_a_group(
    case: tuple[list[Tokens], list[int], Limits],
) -> None:
    tokens, free, limits = case
    waiting = [plan_groups(tokens, free, limits)]
    while waiting:
        group = waiting.pop()
        assert all(free[place] >= group.length for _, place in group.leaves)
        assert all(below.length > group.length for below in group.groups)
        waiting += group.groups


def sequences(*parts: list[int]) -> list[Tokens]:
    return [np.array(part, dtype=np.int64) for part in parts]


def test_few_shot_prompts_share_their_examples() -> None:
    """Two subjects of 600 and 700 tokens of examples, 50 questions of 30 tokens each."""
    tokens = sequences(
        *([*range(length), *range(5000 + 40 * number, 5030 + 40 * number)]
          for length in (600, 700) for number in range(50))
    )  # fmt: skip
    root = plan_groups(tokens, [629] * 50 + [729] * 50, ROOMY)
    (first,) = root.groups  # the shorter is a beginning of the longer
    (second,) = first.groups
    assert (first.length, second.length) == (600, 700)
    assert root.leaves == []
    assert [place for _, place in sorted(first.leaves)] == list(range(50))
    assert run_once(root, tokens) == 700 + 100 * 30


def test_contexts_of_equal_length_run_as_one_batch() -> None:
    """Forty contexts with four endings each, as in HellaSwag."""
    tokens = sequences(
        *([number, *range(1000, 1000 + 79), 2000 + 10 * ending, *range(9)]
          for number in range(40) for ending in range(4))
    )  # fmt: skip
    root = plan_groups(tokens, [79] * 160, ROOMY)
    (group,) = root.groups
    assert len(group.members) == 40
    assert group.length == 79  # the last token of the context is read, so it runs with each ending
    assert run_once(root, tokens) == 40 * 79 + 160 * 11
    assert [len(batch) for batch in group.batches([90] * 160, ROOMY)] == [160]


def test_contexts_of_similar_length_are_cut_to_the_shortest() -> None:
    tokens = sequences(
        *([number, *range(1000, 1000 + 78 + number % 2), 2000 + 10 * ending, *range(9)]
          for number in range(40) for ending in range(4))
    )  # fmt: skip
    root = plan_groups(tokens, [78 + place // 4 % 2 for place in range(160)], ROOMY)
    (group,) = root.groups
    assert (group.length, len(group.members)) == (78, 40)


def test_what_saves_less_than_a_call_is_not_shared() -> None:
    tokens = sequences(*([*range(30), 100 + number] for number in range(4)))
    root = plan_groups(tokens, [30] * 4, ROOMY)
    assert root.groups == []
    assert len(root.leaves) == 4


def test_a_cut_prompt_shares_nothing() -> None:
    tokens = sequences(*([*range(2000), 3000 + number] for number in range(4)))
    root = plan_groups(tokens, [0, 2000, 2000, 2000], ROOMY)
    assert root.leaves == [(0, 0)]
    assert sorted(place for _, place in root.groups[0].leaves) == [1, 2, 3]


@pytest.mark.parametrize("falling", [True, False])
def test_batches_are_of_similar_length_and_in_order(falling: bool) -> None:  # noqa: FBT001
    tokens = sequences(*([number, *range(number % 400)] for number in range(1000)))
    limits = Limits(positions=1 << 16, memory=1 << 40, row=1, token=1, falling=falling)
    lengths = [len(each) for each in tokens]
    root = plan_groups(tokens, [0] * 1000, limits)
    batches = [[lengths[place] for _, place in batch] for batch in root.batches(lengths, limits)]
    flat = [length for batch in batches for length in batch]
    assert flat == sorted(flat, reverse=falling)
    for batch in batches:
        assert max(batch) * len(batch) - sum(batch) <= limits.call
    assert len(batches) < 60
