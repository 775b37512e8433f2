"""What a model reads for some requests, and where their scores are read.

lm-eval 0.4.2 feeds context and continuation without its last token, cut at the left to the longest
length, and reads a score for each token of the continuation from the position before it. Requests
that are fed the same tokens are one input here, whatever their continuations.

Reference: lm-eval 0.4.2, `HFLM._loglikelihood_tokens`.
Not covered: which of an input's tokens other inputs share, see `prefix_tree`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runner.language_model import Request


@dataclass
class Input:
    """What the model reads for one or more requests."""

    tokens: NDArray[np.int64]
    reads: int
    """The first position at which a score is read; the last is the last token's."""
    requests: list[int] = field(default_factory=list)
    whole: bool = True
    """Whether nothing was cut off at the left."""


def distinct(requests: list[Request], max_length: int) -> list[Input]:
    """Distinct inputs, cut at the left as `HFLM` cuts them."""
    found: dict[bytes, Input] = {}
    contexts: dict[int, NDArray[np.int64]] = {}
    for number, (_, context, continuation) in enumerate(requests):
        if id(context) not in contexts:  # requests of one question share a list of thousands
            contexts[id(context)] = np.array(context, dtype=np.int64)
        read = np.array(continuation[:-1], dtype=np.int64)
        tokens = np.concatenate([contexts[id(context)], read])[-max_length:]
        reads = len(tokens) - len(continuation)
        whole = len(context) + len(continuation) - 1 <= max_length
        each = found.setdefault(tokens.tobytes(), Input(tokens, reads))
        each.reads, each.whole = min(each.reads, reads), each.whole and whole
        each.requests.append(number)
    return list(found.values())


def positions(
    inputs: list[Input], continuations: list[list[int]], before: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where scores are read in a batch, and which.

    Returns:
        Row and column of each position read, (2, positions); for each token of each continuation,
        which of these positions and which entry of the vocabulary, (2, tokens).
    """
    rows, columns, reads, read = [], [], [], 0
    left = iter(continuations)
    for row, each in enumerate(inputs):
        columns.append(np.arange(each.reads, len(each.tokens)) - before)
        rows.append(np.full(len(columns[-1]), row))
        read += len(columns[-1])
        reads += [np.arange(read - len(next(left)), read) for _ in each.requests]
    entries = np.array([token for each in continuations for token in each])
    return np.stack([np.concatenate(rows), np.concatenate(columns)]), np.stack(
        [np.concatenate(reads), entries]
    )
