"""Which prefixes of some token sequences are run once, and in what batches.

Sorted sequences make a radix tree: each node is a prefix where two or more sequences part. Nodes
of one length whose parents ran together run as one batch, a group; so do the leaves, what is left
of each sequence, padded on the right. One price list, in tokens, decides everything:

    call   a forward pass, whatever is in it (launching kernels, Python); a model's (`Limits`)
    ROW    starting a row from a state (reading and writing it)

A group is run if it saves more than a call; its prefixes may be cut shorter, to the shortest among
them, as long as what is run again for it costs less than a call; so may a batch of leaves be
padded. What is left out runs with what follows it. Groups are visited depth first, so that the
states alive are those of one path.

Example:
    >>> tokens = [np.array([*range(50), 70, end]) for end in range(60)]
    >>> root = planned(tokens, [51] * 60, Limits(positions=4096, memory=1 << 20, row=1, token=0))
    >>> root.groups[0].length, len(root.groups[0].leaves)
    (51, 60)

Not covered: caching prefixes from one call to the next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

ROW = 8
"""Tokens that a model processes while a row's state is copied."""

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Limits:
    """What fits."""

    positions: int
    """Tokens of one batch, padding included."""
    memory: int
    """Bytes for states: those of one path of groups, and of the batch that is run."""
    row: int
    """Bytes of a state of one row, whatever its length."""
    token: int
    """Bytes that each token adds to it."""
    falling: bool = True
    """Whether long batches come before short ones."""
    call: int = 1024
    """Price of a forward pass, in tokens."""
    blocks: int = 1
    """Equal parts that a state is made in, each freed before the next where it is not kept."""

    def rows(self, new: int, length: int) -> int:
        """Rows of `new` tokens after others, `length` with them; branch and result both count."""
        return self._rows(new, 2 * (self.row + self.token * length))

    def leaves(self, new: int, length: int, parents: int) -> int:
        """The same of rows that leave no state; those of one parent share its state."""
        state = self.row + self.token * length
        return self._rows(new, -(-state // self.blocks) + (state if parents > 1 else 0))

    def _rows(self, new: int, state: int) -> int:
        return max(1, min(self.positions // new, self.memory // max(state, 1)))


@dataclass
class Group:
    """Prefixes of one length that are run as one batch; the root is one row of no tokens."""

    length: int
    members: list[int] = field(default_factory=lambda: [0])
    """For each row, a sequence that begins with its prefix."""
    parents: list[int] = field(default_factory=lambda: [0])
    """For each row, the row of the group above that it continues."""
    leaves: list[tuple[int, int]] = field(default_factory=list)
    """Row, and sequence that ends after it without another group."""
    groups: list["Group"] = field(default_factory=list)

    def batches(self, lengths: Sequence[int], limits: Limits) -> Iterator[list[tuple[int, int]]]:
        """The leaves in batches of similar length, each with no more padding than a call costs."""
        ordered = sorted(
            self.leaves, key=lambda leaf: (lengths[leaf[1]], leaf), reverse=limits.falling
        )
        batch: list[tuple[int, int]] = []
        longest = total = 0
        for leaf in ordered:
            new = lengths[leaf[1]] - self.length
            longest, total = max(longest, new), total + new
            fit = limits.leaves(longest, longest + self.length, len(self.members))
            padding = longest * (len(batch) + 1) - total
            if batch and (len(batch) >= fit or padding > limits.call):
                yield batch
                batch, longest, total = [], new, new
            batch.append(leaf)
        if batch:
            yield batch

    def below(self, limits: Limits) -> Limits:
        """What is left while this group's states are held."""
        held = len(self.members) * (limits.row + limits.token * self.length) if self.length else 0
        return replace(limits, memory=max(limits.memory - held, 0))


@dataclass
class _Node:
    """A prefix that sequences share: those from `start` to `stop` of the sorted ones."""

    length: int
    start: int
    stop: int = 0
    children: list["_Node"] = field(default_factory=list)
    count: int = 0
    """Rows that would run the prefix again: sequences, or prefixes of them that run once."""

    def saves(self, tokens: int) -> int:
        """If its last `tokens` are run once, less the price of starting its rows from a state."""
        return (self.count - 1) * tokens - self.count * ROW

    def leaves(self) -> Iterator[int]:
        """Places of the sequences that are in no child."""
        start = self.start
        for child in self.children:
            yield from range(start, child.start)
            start = child.stop
        yield from range(start, self.stop)

    def close(self, stop: int) -> "_Node":
        """Its last sequence is known."""
        self.stop = stop
        self.count = sum(1 for _ in self.leaves()) + sum(
            1 if child.saves(child.length - self.length) > 0 else child.count
            for child in self.children
        )
        return self


def plan_groups(tokens: Sequence[Tokens], free: Sequence[int], limits: Limits) -> Group:
    """The groups that run every sequence.

    Args:
        tokens: Distinct sequences, none empty.
        free: For each, how many of its first tokens may be in a group: those at which nothing is
            read. At least its last token is not.
        limits: What fits.

    Returns:
        The root; every sequence is a leaf of one group, and what stands on the path to it and in
        the leaf are its tokens.
    """
    keys = [each.astype(">i4").tobytes() for each in tokens]  # sort as the tokens do
    order = sorted(range(len(tokens)), key=keys.__getitem__)
    top = _tree([tokens[place] for place in order], [free[place] for place in order])
    root = Group(0)
    _add_children(root, [(0, top)], order, limits)
    return root


def _tree(tokens: list[Tokens], free: list[int]) -> _Node:
    """The radix tree of sorted sequences, from the prefixes that neighbours share."""
    path = [_Node(0, 0)]
    for place in range(1, len(tokens)):
        shared = min(
            first_differing(tokens[place - 1], tokens[place]), free[place - 1], free[place]
        )
        last = None
        while shared < path[-1].length:
            last = path.pop().close(place)
            if shared <= path[-1].length:
                path[-1].children.append(last)
                last = None
        if shared > path[-1].length:
            start = last.start if last else place - 1
            path.append(_Node(shared, start, children=[last] if last else []))
    while len(path) > 1:
        last = path.pop().close(len(tokens))
        path[-1].children.append(last)
    return path[0].close(len(tokens))


def first_differing(one: Tokens, other: Tokens) -> int:
    """How many first tokens are the same."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length


def _add_children(
    group: Group, nodes: list[tuple[int, _Node]], order: list[int], limits: Limits
) -> None:
    """Hang what is below some nodes, each at a row of the group, on the group."""
    while nodes:
        group.leaves += [(row, order[place]) for row, node in nodes for place in node.leaves()]
        below = [(row, child) for row, node in nodes for child in node.children]
        worth = [each for each in below if each[1].saves(each[1].length - group.length) > 0]
        nodes = [each for each in below if each[1].saves(each[1].length - group.length) <= 0]
        halved = replace(limits, memory=limits.memory // 2)  # the other half is for what follows
        for batch in _by_length(worth, group.length, halved):
            cut = batch[0][1].length
            if sum(node.saves(cut - group.length) for _, node in batch) < limits.call:
                nodes += batch
                continue
            made = Group(cut, [order[node.start] for _, node in batch], [row for row, _ in batch])
            rows = [(row, node) for row, (_, node) in enumerate(batch)]
            _add_children(made, rows, order, made.below(limits))
            group.groups.append(made)
    group.groups.sort(key=lambda each: each.length, reverse=limits.falling)


def _by_length(
    nodes: list[tuple[int, _Node]], before: int, limits: Limits
) -> Iterator[list[tuple[int, _Node]]]:
    """Nodes in batches of similar length, the shortest first.

    The shortest length is the batch's: what is longer runs again for each that goes on from it.
    """
    batch: list[tuple[int, _Node]] = []
    again = 0
    for row, node in sorted(nodes, key=lambda each: (each[1].length, each[1].start)):
        cut = batch[0][1].length if batch else node.length
        again += (node.count - 1) * (node.length - cut)
        if batch and (again > limits.call or len(batch) >= limits.rows(cut - before, cut)):
            yield batch
            batch, again = [], 0
        batch.append((row, node))
    if batch:
        yield batch
