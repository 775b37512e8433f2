"""Exact ranks of integer matrices, by elimination modulo a prime.

rank mod p ≤ rank over the integers: a minor that is not 0 mod p is not 0. So a rank found here
is a certified lower bound, and equal to the true rank wherever an upper bound meets it (a
factorisation U V with r inner columns has rank ≤ r; no matrix exceeds its rows or columns).
"""

import numpy as np
from numpy.typing import NDArray

PRIME = 2_147_483_629
"""2^31 - 19, a prime: products of two residues stay within int64."""


def rank_modulo(matrix: NDArray[np.int64], prime: int = PRIME) -> int:
    """Rank over the field of integers mod `prime`: a lower bound of the rank over the integers.

    Args:
        matrix: shape (rows, columns), int64.
        prime: below 2^31, so that no product overflows.

    Example:
        >>> rank_modulo(np.array([[1, 2], [2, 4]])), rank_modulo(np.array([[1, 2], [2, 5]]))
        (1, 2)
    """
    rest = np.array(matrix, dtype=np.int64) % prime
    if rest.shape[0] > rest.shape[1]:
        rest = np.ascontiguousarray(rest.T)
    rank = 0
    while rest.shape[0]:
        columns = np.flatnonzero(rest[0])
        if len(columns) == 0:
            rest = rest[1:]
            continue
        pivot = int(columns[0])
        row = rest[0] * pow(int(rest[0, pivot]), -1, prime) % prime
        below = rest[1:]
        rest = (below - below[:, pivot, None] * row % prime) % prime
        rank += 1
    return rank
