"""Shapes, the search of a batch size, and on a GPU a whole measurement.

Oracles: the number of parameters of each checkpoint, as the catalog has it; sizes of adapters by
hand, r (in + out) for each projection; plain doubling over a made-up memory; the verifier.
"""

from pathlib import Path
from typing import Any

import made_up_records
import pytest
import torch

from repro.errors import CannotRunError
from repro.schema import catalog
from repro.schema.jobs import ThroughputJob
from repro.store.store import Store
from runner.measurement import Inputs, Measurement
from runner.models import mamba2_mixer
from runner.models.shapes import build, shape_of, shapes, with_adapters
from runner.tuning import memory_cap, throughput
from runner.tuning.memory_cap import BatchSizeTrial, fastest, search_batch_size
from verify.records import throughput as throughput_records


def job(**changes: Any) -> ThroughputJob:
    said: dict[str, Any] = {
        "kind": "throughput",
        "checkpoint": "mamba-twin",
        "method": "lora-sll",
        "precision": "float16",
        "rank": 4,
        "max_length": 64,
        "memory_cap": 2.0,
        "mamba_path": "kernels",
        "warm_up_steps": 1,
        "steps": 2,
        "repeats": 3,
        "seed": 0,
    }
    return ThroughputJob(**(said | changes))


def measured(**changes: Any) -> Measurement:
    return throughput.run(job(**changes), Inputs(), lambda *_: None)


# -----------------------------------------------------------------------------
# Shapes


@pytest.mark.filterwarnings("ignore:.*fast path:UserWarning")
@pytest.mark.parametrize("name", shapes())
def test_a_shape_has_the_parameters_of_its_checkpoint(name: str) -> None:
    with torch.device("meta"):
        model = build(shapes()[name])
    known = catalog.checkpoints()[name]
    assert sum(weight.numel() for weight in model.parameters()) == known.parameters
    assert known.family == shapes()[name].family


@pytest.mark.parametrize(("name", "rank"), [("mamba-130m", 8), ("mamba-2.8b", 128)])
def test_lora_trains_its_adapters_and_nothing_else(name: str, rank: int) -> None:
    """Mamba: in_proj d, 4d; x_proj 2d, d/16 + 32; dt_proj d/16, 2d; out_proj 2d, d."""
    shape = shape_of(name)
    d, blocks = shape.hidden, shape.blocks
    x, dt = 2 * d + d // 16 + 32, d // 16 + 2 * d
    sizes = {
        "lora-all": blocks * (5 * d + x + dt + 3 * d),
        "lora-sll": blocks * (5 * d + x + 3 * d) + shape.vocabulary + d,
        "lora-w": blocks * x,
        "lora-not-w": blocks * (5 * d + dt + 3 * d),
    }
    for method, size in sizes.items():
        with torch.device("meta"):
            model = with_adapters(build(shape), method, rank)  # type: ignore[arg-type]
        trained = [each for each in model.parameters() if each.requires_grad]
        assert sum(each.numel() for each in trained) == rank * size
        assert {each.dtype for each in model.parameters()} == {torch.float32}


def test_full_fine_tuning_trains_all() -> None:
    with torch.device("meta"):
        model = with_adapters(build(shape_of("mamba-twin")), "full", None)
    assert all(each.requires_grad for each in model.parameters())


def test_a_shape_that_is_not_known_is_refused() -> None:
    with pytest.raises(CannotRunError, match="no shape of olmo-1b is known"):
        shape_of("olmo-1b")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured() -> None:
    with pytest.raises(CannotRunError, match="there is none here"):
        measured()


# -----------------------------------------------------------------------------
# Batch sizes


class Card:
    """Made-up memory: activations grow by `row` a row, the optimizer's peak does not."""

    def __init__(self, limit: int, weights: int, row: int, optimizer: int) -> None:
        self.limit, self.weights, self.row, self.optimizer = limit, weights, row, optimizer
        self.tried: list[int] = []

    def attempt(self, rows: int) -> BatchSizeTrial:
        self.tried.append(rows)
        forward = self.weights + rows * self.row
        peak = max(forward, self.optimizer)
        fits = peak <= self.limit
        speed = rows / (rows + 4) if fits else 0.0
        return BatchSizeTrial(rows, fits, speed, min(peak, self.limit), self.limit, forward)

    def doubled(self) -> int:
        """The largest power of two that fits, by trying all; 0 if none does."""
        rows = 1
        while self.weights + rows * self.row <= self.limit:
            rows *= 2
        return rows // 2


@pytest.mark.parametrize("row", [1, 3, 10, 47, 49, 50, 99, 100, 101])
@pytest.mark.parametrize("optimizer", [0, 60, 99])
def test_the_search_finds_what_doubling_finds(row: int, optimizer: int) -> None:
    card = Card(100, 1, row, optimizer)
    tries = search_batch_size(card.attempt, 100)
    fit = [each.batch_size for each in tries if each.fits]
    assert max(fit, default=0) == card.doubled()
    if fit:
        assert 2 * max(fit) in card.tried
        assert max(fit) == 1 or max(fit) // 2 in card.tried
    assert card.tried[0] == 1
    assert len(set(card.tried)) == len(card.tried)


def test_sizes_that_two_others_foretell_are_skipped() -> None:
    card = Card(1 << 20, 0, 1 << 10, 1 << 19)  # 1,024 rows fit
    search_batch_size(card.attempt, 1 << 20)
    assert card.tried == [1, 2, 1024, 2048, 512]


def test_a_guess_that_is_too_high_is_taken_back() -> None:
    card = Card(100, 0, 10, 0)
    assert [each.fits for each in search_batch_size(card.attempt, 10_000)][:2] == [True, True]
    assert card.tried == [1, 2, 512, 256, 128, 64, 32, 16, 8, 4]


def test_the_fastest_that_fits_is_taken() -> None:
    slow, fast = BatchSizeTrial(2, True, 5.0, 1, 1, 1), BatchSizeTrial(1, True, 6.0, 1, 1, 1)  # noqa: FBT003
    over = BatchSizeTrial(4, False, 0.0, 1, 1, 1)  # noqa: FBT003
    assert fastest([slow, fast, over]) is fast
    assert fastest([over]) is None


# -----------------------------------------------------------------------------
# Measurements


def test_a_card_that_another_process_uses_measures_nothing(monkeypatch: Any) -> None:
    """What the driver says of a card of 141 GiB, 60 of them another's; no GPU is needed."""
    for name, said in (
        ("mem_get_info", (80 << 30, 141 << 30)),
        ("memory_reserved", 300 << 20),
        ("empty_cache", None),
        ("reset_peak_memory_stats", None),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda said=said: said)
    with pytest.raises(CannotRunError, match=r"^60\.7 GiB of the GPU are taken by another process"):
        memory_cap.set_cap(22)


on_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    pytest.mark.skipif(bool(mamba2_mixer.kernels_lacking()), reason=mamba2_mixer.kernels_lacking()),
    pytest.mark.filterwarnings("ignore"),  # of mamba-ssm and a torch newer than the pin
]


def gpu_test(function: Any) -> Any:
    for mark in on_gpu:
        function = mark(function)
    return function


@gpu_test
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("method", ["full", "lora-all"])
def test_the_verifier_takes_what_is_measured(tmp_path: Path, method: str, precision: str) -> None:
    asked = job(method=method, precision=precision, rank=None if method == "full" else 4)
    found = throughput.run(asked, Inputs(), lambda *_: None)
    store, machine = Store(tmp_path), made_up_records.this_machine()
    key = made_up_records.save_record(
        store, asked, found.arrays, machine, values=dict(found.values)
    )
    record, arrays = store.load(key)
    throughput_records.check(record, asked, arrays)
    assert found.values["fits"] == 1
    assert found.path["mamba"] == "kernels"
    assert found.path["memory_cap"].startswith("emulated on")


@gpu_test
def test_a_row_that_does_not_fit_is_a_result() -> None:
    found = measured(memory_cap=0.1)  # less than the context
    assert found.values["fits"] == 0
    assert found.arrays["fits_tried"].tolist() == [0]
    assert found.arrays["tokens_per_second"].shape == (0,)
    assert (found.arrays["memory_uncapped"] > 0).all()


@gpu_test
def test_jobs_leave_nothing_behind() -> None:
    first = measured()
    held = torch.cuda.memory_allocated()  # workspaces of cuBLAS
    measured(method="full", rank=None, precision="float32")
    again = measured()
    assert first.arrays["memory_allocated"].tolist() == again.arrays["memory_allocated"].tolist()
    assert torch.cuda.memory_allocated() == held < 2**28
    torch.empty(3 * 2**30, dtype=torch.uint8, device="cuda")  # more than the cap


@gpu_test
def test_adapters_that_the_kernels_pass_by_are_counted() -> None:
    """x_proj 128, 4 + 32; dt_proj 4, 128; out_proj 128, 64: r = 4, two blocks."""
    found = measured(method="lora-all")
    dead = 4 * 2 * ((128 + 36) + (4 + 128) + (128 + 64))
    assert found.values["parameters_without_gradient"] == dead
    assert measured(method="lora-all", mamba_path="live").values["parameters_without_gradient"] == 0
