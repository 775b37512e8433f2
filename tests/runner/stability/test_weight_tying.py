"""Weight tying: exact integer algebra, on real and on tiny shapes."""

import hashlib
import struct

import numpy as np
import pytest
import sympy

from repro.schema.jobs import WeightTyingJob
from runner.measurement import Inputs, Measurement
from runner.stability.weight_tying import check, rank_modulo, run, tied_adapter, untied_adapter

MAMBA = {"dt": 48, "B": 16, "C": 16}
GPT_NEOX = {"query": 768, "key": 768, "value": 768}


def silent(done: int, total: int, note: str = "") -> None:
    assert 0 < done <= total, note


def measured(projection: str, inputs: int, blocks: dict[str, int], rank: int) -> Measurement:
    job = WeightTyingJob(
        kind="weight_tying", projection=projection, inputs=inputs, blocks=blocks, rank=rank, seed=0
    )
    return run(job, Inputs(), silent)


@pytest.mark.parametrize(
    ("projection", "inputs", "blocks"),
    [("mamba-130m.x_proj", 1536, MAMBA), ("pythia-160m.query_key_value", 768, GPT_NEOX)],
)
def test_one_adapter_ties_the_blocks_of_real_shapes_and_separate_ones_do_not(
    projection: str, inputs: int, blocks: dict[str, int]
) -> None:
    values = measured(projection, inputs, blocks, rank=8).values
    assert values["blocks_factorise"] == values["row_spaces_shared"] == 1
    assert values["stacked_rank"] == values["rank_limit"] == values["latent_rank"] == 8
    assert values["untied_blocks_factorise"] == values["untied_row_spaces_shared"] == 0
    assert values["untied_stacked_rank"] == 8 * len(blocks)
    assert values["untied_rank_is_exact"] == 1


def test_the_record_holds_what_verify_multiplies_again() -> None:
    arrays = measured("mamba-130m.x_proj", 1536, MAMBA, rank=8).arrays
    exact = {name: array.astype(np.int64) for name, array in arrays.items()}
    for case, same in (("tied", True), ("untied", False)):
        product = exact[f"{case}/up"] @ exact[f"{case}/down"]
        assert product.shape == (80, 1536)
        found = [bytes(row).hex() for row in arrays[f"{case}/change_sha256"]]
        multiplied = [hashlib.sha256(struct.pack("<1536q", *row)).hexdigest() for row in product]
        assert (found == multiplied) == same


def test_rank_agrees_with_exact_rational_elimination() -> None:
    rng = np.random.default_rng(0)
    for rank in (0, 1, 3, 5):
        matrix = rng.integers(-9, 10, (7, rank)) @ rng.integers(-9, 10, (rank, 6))
        assert rank_modulo(matrix) == sympy.Matrix(matrix.tolist()).rank()


def test_rank_modulo_a_prime_is_only_a_lower_bound() -> None:
    assert rank_modulo(np.array([[7]]), prime=7) == 0


def test_compressed_ranks_are_the_ranks_of_the_whole_matrices() -> None:
    rng = np.random.default_rng(1)
    blocks = {"dt": 5, "B": 4, "C": 3}
    for make in (tied_adapter, untied_adapter):
        adapter = make(rng, blocks, 20, 2)
        whole = sympy.Matrix(adapter.change.tolist()).rank()
        assert check(adapter, rng)["stacked_rank"] == whole


def test_the_change_of_each_quantity_reads_one_shared_latent() -> None:
    rng = np.random.default_rng(2)
    adapter = tied_adapter(rng, MAMBA, 64, 4)
    x = rng.integers(-5, 6, 64)
    latent = adapter.downs["dt"] @ x
    changes = [adapter.ups[name] @ latent for name in MAMBA]
    np.testing.assert_array_equal(adapter.change @ x, np.concatenate(changes))


def test_same_seed_same_values() -> None:
    first, second = (measured("a", 64, MAMBA, 4).values for _ in range(2))
    assert first == second
