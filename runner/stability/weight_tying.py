"""Theorem 3: LoRA on one stacked projection ties the adapters of its blocks, in exact algebra.

| symbol | shape       | what                                                                      |
|--------|-------------|---------------------------------------------------------------------------|
| W      | (rows, in)  | a stacked projection: rows in blocks, one a quantity (dt, B, C, ...)      |
| U, V   | (rows, r), (r, in) | LoRA: W' = U V is added to W; integers here, so nothing rounds     |
| x      | (in,)       | what the projection reads                                                 |

The paper's W is T × 3d: row t - 1 holds Δ_t, B_t, C_t (Equation 4), which is what the projection
puts out over time, not a weight; its proof (Appendix A) then says that "the weights U[t-1, :]
are tied". The weight behind it is x_proj.weight in Mamba and in_proj.weight in Mamba-2, and the
tying is over its rows: the changes of dt, B and C are row blocks of U times one and the same
r-vector V x. This is what is checked, on the real shapes:

- `blocks_factorise`: every block's change is U_b V with one V, so W' x is the U_b (V x) stacked
  and every block's rows lie in the row space of V (equality of integers: a proof);
- `row_spaces_shared`: below V, as further rows, W' does not raise the rank;
- `stacked_rank`: at most r, by the factorisation, and at least what is found mod a prime;
- control, one LoRA of rank r a block (untied): the same on W'' = the U_b V_b stacked.
  `untied_stacked_rank` is r times the number of blocks, and the other two are 0.

Arrays: `tied/up` and `tied/down` are U and V, int32, `tied/change_sha256` the digest of every row
of W', and `untied/...` the same of the control, with the first block's V. verify multiplies and
digests again: W' itself, of Mamba-2 10 MB, says no more.

The tying is not Mamba's: GPT-NeoX's query_key_value is one weight too and shows the same.

Reference: paper v2, Section 3.2, Theorem 3, and Appendix A. Differs: W is the weight that makes
the paper's W; "tied" is given a meaning that can fail.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repro import fileio
from repro.schema.jobs import WeightTyingJob
from runner.measurement import Arrays, Inputs, Measurement, Progress, Values

Matrix = NDArray[np.int64]

LARGEST = 8
"""Entries are drawn from -8 to 8: every sum here stays far below 2^63."""
SPARE = 16
"""Columns beyond any rank in the random compression."""


@dataclass(frozen=True)
class Adapter:
    """A low-rank change of a stacked projection, block by block."""

    change: Matrix
    """W', shape (rows, inputs)."""
    ups: dict[str, Matrix]
    """U of each block by its quantity, (rows of the block, r)."""
    downs: dict[str, Matrix]
    """V of each block, (r, inputs); tied: one and the same."""


def run(job: WeightTyingJob, inputs: Inputs, progress: Progress) -> Measurement:
    """Check a tied adapter and an untied one; every value is an exact integer."""
    del inputs  # no file is read
    rng = np.random.default_rng(job.seed)
    values: Values = {"rank": job.rank, "blocks": len(job.blocks)}
    tied = tied_adapter(rng, job.blocks, job.inputs, job.rank)
    values |= check(tied, rng)
    progress(1, 2, job.projection)
    untied = untied_adapter(rng, job.blocks, job.inputs, job.rank)
    values |= {f"untied_{name}": value for name, value in check(untied, rng).items()}
    progress(2, 2, job.projection)
    return Measurement(
        values=values,
        arrays=_factors("tied", tied) | _factors("untied", untied),
        path={"arithmetic": "int64, exact", "rank": f"elimination mod {PRIME}"},
    )


def _factors(case: str, adapter: Adapter) -> Arrays:
    """Digests of W', and what it has to be the product of, if tied: U stacked, and the first V."""
    return {
        f"{case}/change_sha256": fileio.digests_of_rows(adapter.change),
        f"{case}/up": np.concatenate(list(adapter.ups.values())).astype(np.int32),
        f"{case}/down": next(iter(adapter.downs.values())).astype(np.int32),
    }


def tied_adapter(
    rng: np.random.Generator, blocks: dict[str, int], inputs: int, rank: int
) -> Adapter:
    """One LoRA on the whole weight: W' = U V."""
    up, down = _integers(rng, sum(blocks.values()), rank), _integers(rng, rank, inputs)
    edges = np.cumsum(list(blocks.values()))[:-1]
    ups = dict(zip(blocks, np.split(up, edges), strict=True))
    return Adapter(up @ down, ups, dict.fromkeys(blocks, down))


def untied_adapter(
    rng: np.random.Generator, blocks: dict[str, int], inputs: int, rank: int
) -> Adapter:
    """One LoRA on each block: W'' = U_b V_b, stacked."""
    ups = {name: _integers(rng, rows, rank) for name, rows in blocks.items()}
    downs = {name: _integers(rng, rank, inputs) for name in blocks}
    change = np.concatenate([ups[name] @ downs[name] for name in blocks])
    return Adapter(change, ups, downs)


def check(adapter: Adapter, rng: np.random.Generator) -> dict[str, int]:
    """The statements of the module for one adapter; booleans as 0 and 1.

    Ranks are those of the matrix times a random integer matrix with more columns than any rank
    here, which can only lower them: still certified lower bounds, found on fewer columns.

    Returns:
        besides the three statements: `rank.<block>` and `latent_rank` (of V, of the first block);
        `rank_limit`, what the stacked factorisation cannot exceed, and `rank_is_exact`, whether
        the lower bound meets it.
    """
    first = next(iter(adapter.downs.values()))
    rows: dict[int, int] = {}  # of the blocks that share a V
    for name, down in adapter.downs.items():
        rows[id(down)] = rows.get(id(down), 0) + len(adapter.ups[name])
    limit = min(first.shape[1], sum(min(first.shape[0], count) for count in rows.values()))
    mixing = _integers(rng, first.shape[1], limit + first.shape[0] + SPARE)
    latent, stacked = rank_modulo(first @ mixing), rank_modulo(adapter.change @ mixing)
    together = rank_modulo(np.concatenate([first, adapter.change]) @ mixing)
    edges = np.cumsum([len(up) for up in adapter.ups.values()])[:-1]
    parts = dict(zip(adapter.ups, np.split(adapter.change, edges), strict=True))
    same = [np.array_equal(part, adapter.ups[name] @ first) for name, part in parts.items()]
    return {
        **{f"rank.{name}": rank_modulo(part @ mixing) for name, part in parts.items()},
        "blocks_factorise": int(all(same)),
        "row_spaces_shared": int(together == latent),
        "stacked_rank": stacked,
        "rank_limit": limit,
        "rank_is_exact": int(stacked == limit),
        "latent_rank": latent,
    }


def _integers(rng: np.random.Generator, rows: int, columns: int) -> Matrix:
    return rng.integers(-LARGEST, LARGEST + 1, size=(rows, columns), dtype=np.int64)


# -----------------------------------------------------------------------------
# Exact ranks of integer matrices, by elimination modulo a prime
#
# rank mod p ≤ rank over the integers: a minor that is not 0 mod p is not 0. So a rank found here
# is a certified lower bound, and equal to the true rank wherever an upper bound meets it (a
# factorisation U V with r inner columns has rank ≤ r; no matrix exceeds its rows or columns).

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
