"""Fine-tuning the twins.

Oracles: a loop in plain PyTorch over the same batches (AdamW, the cosine and clipping from their
definitions) for every step; `repro.schema.families` for what is adapted; the rows that the collator
is handed for their order; torch's own exceptions.
"""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_tuning
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from repro.errors import CannotRunError
from repro.schema.families import FAMILIES
from repro.schema.jobs import Recipe
from runner.measurement import Measurement
from runner.models.mamba_paths import set_path
from runner.tuning import examples as tuning_examples
from runner.tuning import finetune, instructions
from runner.tuning.examples import Collator

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = ("full", "lora-all", "lora-sll", "lora-w", "lora-not-w")
UNDEFINED = {("mamba2", "lora-sll"), ("gpt-neox", "lora-w"), ("gpt-neox", "lora-not-w")}
W = {"mamba": "x_proj", "mamba2": "in_proj"}


# -----------------------------------------------------------------------------
# Against a loop in plain PyTorch


def plain(asked: Recipe, data: Path) -> tuple[list[list[float]], dict[str, torch.Tensor]]:
    """(learning rate, loss, gradient norm) of every step, and the trained weights by name."""
    folder = tiny_tuning.TWINS["gpt-neox"]
    read = instructions.read(data, "alpaca").rows
    examples = tuning_examples.tokenise(
        read,
        AutoTokenizer.from_pretrained(folder),
        asked.max_length,
        append_eos=asked.append_eos,
        loss=asked.loss,
    ).examples
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
    trained = finetune.adapted(model, asked).train()
    weights = [weight for weight in trained.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        weights,
        betas=asked.adam_betas,  # type: ignore[arg-type]
        eps=asked.adam_epsilon,
        weight_decay=asked.weight_decay,
    )
    per_epoch = math.ceil(len(examples) / asked.batch_size)
    steps = []
    for epoch in range(asked.epochs):
        order = tuning_examples.epoch_order(len(examples), asked.seed, epoch)
        for number in range(per_epoch):
            chosen = order[number * asked.batch_size : (number + 1) * asked.batch_size]
            batch = Collator(0, attention_mask=True)([examples[row] for row in chosen])
            done = len(steps) / (per_epoch * asked.epochs)
            rate = asked.learning_rate * (1 + math.cos(math.pi * done)) / 2
            optimizer.param_groups[0]["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16, enabled=asked.precision == "bfloat16"):
                loss = trained(**batch).loss
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(weights, asked.max_gradient_norm)
            optimizer.step()
            optimizer.zero_grad()
            steps.append([rate, loss.item(), norm.item()])
    return steps, {name: each.detach() for name, each in trained.named_parameters()}


@pytest.mark.parametrize(
    ("method", "precision"),
    [("full", "float32"), ("lora-all", "float32"), ("full", "bfloat16")],
)
def test_every_step_is_that_of_a_plain_loop(method: Any, precision: Any, tmp_path: Path) -> None:
    size = {"max_length": 24, "loss": "all"} if precision == "bfloat16" else {"loss": "answer"}
    asked = tiny_tuning.recipe(method=method, precision=precision, epochs=2, **size)
    data = tiny_tuning.rows(tmp_path, 10)
    expected, weights = plain(asked, data)
    found = tiny_tuning.run(asked, data, tmp_path / "work")

    arrays = [found.arrays[name] for name in ("learning_rate", "loss", "gradient_norm")]
    assert len(expected) == 6
    np.testing.assert_allclose(np.stack(arrays, axis=1), expected, rtol=1e-5)
    assert found.model is not None
    (file,) = found.model.glob("*.safetensors")
    stored = load_file(file)
    assert stored
    for name, tensor in stored.items():
        full = name if method == "full" else name.replace(".weight", ".default.weight")
        assert torch.equal(tensor, weights[full]), name


def test_half_precision_keeps_float32_weights(tmp_path: Path) -> None:
    data = tiny_tuning.rows(tmp_path, 8)
    found = tiny_tuning.run(
        tiny_tuning.recipe(precision="bfloat16", max_length=16), data, tmp_path / "bf16"
    )
    assert found.path["weights_dtype"] == "float32"
    assert found.path["mixed_precision"] == "bf16"
    assert found.model is not None
    stored = load_file(found.model / "model.safetensors")
    assert {each.dtype for each in stored.values()} == {torch.float32}
    kept = [each for each in stored.values() if not torch.equal(each, each.bfloat16().float())]
    assert len(kept) > len(stored) / 2  # more bits than bfloat16 has


def test_a_run_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """Mixed precision, TF32, loggers: a float32 run is the same before and after one in BF16."""
    data = tiny_tuning.rows(tmp_path, 8)
    torch.backends.cudnn.allow_tf32 = True
    before = transformers_logging.get_verbosity(), "ACCELERATE_MIXED_PRECISION" in os.environ
    losses = {}
    for number, precision in enumerate(("float32", "bfloat16", "float32")):
        asked = tiny_tuning.recipe(precision=precision, max_length=16)
        found = tiny_tuning.run(asked, data, tmp_path / str(number))
        losses[number] = found.arrays["loss"]
        assert found.path["tf32_convolution"] == "false"
    assert torch.backends.cudnn.allow_tf32
    assert before == (
        transformers_logging.get_verbosity(),
        "ACCELERATE_MIXED_PRECISION" in os.environ,
    )
    assert np.array_equal(losses[0], losses[2])
    assert not np.array_equal(losses[0], losses[1])


# -----------------------------------------------------------------------------
# Order, methods, adapters


def test_rows_are_read_in_the_same_order_whatever_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, ...]] = []
    collate = Collator.__call__

    def watched(self: Collator, batch: Any) -> Any:
        read.extend(tuple(each.ids) for each in batch)
        return collate(self, batch)

    monkeypatch.setattr(Collator, "__call__", watched)
    data = tiny_tuning.rows(tmp_path, 7)
    runs: list[tuple[str, dict[str, Any]]] = [
        ("gpt-neox", {"epochs": 2}),
        ("gpt-neox", {"method": "lora-all", "precision": "bfloat16"}),
        ("mamba2", {"learning_rate": 1e-5}),
    ]
    orders = []
    for number, (family, changes) in enumerate(runs):
        read.clear()
        twin = tiny_tuning.TWINS[family]
        asked = tiny_tuning.recipe(batch_size=3, **changes)
        found = tiny_tuning.run(asked, data, tmp_path / str(number), twin)
        orders.append(list(read))
    first, second = orders[0][:7], orders[0][7:]
    assert first == orders[1] == orders[2]
    assert sorted(first) == sorted(second)
    assert first != second

    tokenizer = AutoTokenizer.from_pretrained(twin)
    texts = [
        instructions.render(row, append_eos=True, eos="<|endoftext|>").text
        for row in instructions.read(data, "alpaca").rows
    ]
    rows = {tuple(tokenizer(text)["input_ids"]): row for row, text in enumerate(texts)}
    assert len(rows) == 7
    assert [rows[ids] for ids in first] == found.arrays["row_order"].tolist()


@pytest.mark.parametrize("family", tiny_tuning.TWINS)
@pytest.mark.parametrize("method", METHODS)
def test_every_family_by_every_method(family: str, method: Any, tmp_path: Path) -> None:
    asked = tiny_tuning.recipe(method=method, max_length=24, learning_rate=1e-2)
    data = tiny_tuning.rows(tmp_path, 8)
    if (family, method) in UNDEFINED:
        with pytest.raises(CannotRunError, match=f"{method} is not defined for .* {family}"):
            tiny_tuning.run(asked, data, tmp_path / "work", tiny_tuning.TWINS[family])
        return
    found = tiny_tuning.run(asked, data, tmp_path / "work", tiny_tuning.TWINS[family])

    names = json.loads(str(found.values["trainable_tensors"]))
    adapted = {name.partition(".lora_")[0].rpartition(".")[2] for name in names if "lora" in name}
    assert adapted == expected_targets(family, method)
    assert len(found.arrays["gradient_arrived"]) == len(found.arrays["moved"]) == len(names)
    assert found.arrays["gradient_arrived"].all()
    assert found.arrays["moved"].all()
    assert found.values["finite"] == 1
    assert found.values["steps"] == len(found.arrays["loss"]) == 2
    assert found.arrays["loss"][1] < found.arrays["loss"][0]
    assert found.warnings == ()
    whole = AutoOrOwn[family](tiny_tuning.TWINS[family])
    assert found.values["parameters"] == sum(each.numel() for each in whole.parameters())
    if method == "full":
        assert found.values["trainable_parameters"] == found.values["parameters"]
    assert found.path["mamba_path"] == {"mamba": "slow", "mamba2": "plain"}.get(family, "none")


def expected_targets(family: str, method: str) -> set[str]:
    (known,) = FAMILIES[family].layouts.values()
    lists = {"full": (), "lora-all": known.lora_all, "lora-sll": known.lora_sll}
    if method in lists:
        return set(lists[method])
    without = set(known.lora_all) - {known.lora_w}
    return {known.lora_w} if method == "lora-w" else without


def _mamba2(folder: Path) -> nn.Module:
    from runner.models import mamba2_checkpoint

    return mamba2_checkpoint.load(folder)


AutoOrOwn: dict[str, Callable[[Path], nn.Module]] = {
    "mamba": AutoModelForCausalLM.from_pretrained,
    "gpt-neox": AutoModelForCausalLM.from_pretrained,
    "mamba2": _mamba2,
}


def test_adapters_that_a_path_passes_by_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the pins' path, which reads the weight of x_proj instead of calling it."""

    def passes_by(model: nn.Module, path: Any) -> str:
        set_path(model, path)
        for name, module in model.named_modules():
            if name.endswith("x_proj"):
                module.forward = lambda x, of=module: functional.linear(x, of.weight)
        return "kernels"

    monkeypatch.setattr(finetune, "set_path", passes_by)
    asked = tiny_tuning.recipe(method="lora-all", max_length=16, mamba_path="kernels")
    data = tiny_tuning.rows(tmp_path, 8)
    found = tiny_tuning.run(asked, data, tmp_path / "work", tiny_tuning.TWINS["mamba"])

    (warning,) = found.warnings
    assert warning.startswith("the adapters of x_proj never got a gradient on the path kernels")
    names = json.loads(str(found.values["trainable_tensors"]))
    dead = np.array(["x_proj" in name for name in names])
    assert dead.any()
    assert np.array_equal(found.arrays["gradient_arrived"] == 0, dead)
    assert np.array_equal(found.arrays["moved"] == 0, dead)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("ignore")  # of a torch newer than the pin
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_the_pins_pass_by_three_adapters_of_mamba(precision: Any, tmp_path: Path) -> None:
    pytest.importorskip("mamba_ssm")
    pytest.importorskip("causal_conv1d")
    data = tiny_tuning.rows(tmp_path, 16)
    warnings = {}
    for path in ("kernels", "live"):
        asked = tiny_tuning.recipe(method="lora-all", precision=precision, mamba_path=path)
        twin = tiny_tuning.TWINS["mamba"]
        found = tiny_tuning.run(asked, data, tmp_path / path, twin)
        assert found.path["mamba_path"] == path
        assert found.path["weights_dtype"] == "float32"
        warnings[path] = found.warnings
    assert warnings["live"] == ()
    (warning,) = warnings["kernels"]
    assert warning.startswith("the adapters of x_proj, dt_proj, out_proj never got a gradient")


def test_a_path_that_is_not_here_is_said(tmp_path: Path) -> None:
    asked = tiny_tuning.recipe(max_length=8, mamba_path="kernels")
    data = tiny_tuning.rows(tmp_path, 4)
    found = tiny_tuning.run(asked, data, tmp_path / "work", tiny_tuning.TWINS["mamba2"])
    why = "the model is not on a GPU"
    assert found.path["mamba_lacks"] == why
    assert found.warnings == (
        f"the recipe asks for Mamba's path kernels, this run took plain: {why}",
    )


# -----------------------------------------------------------------------------
# Data, progress


def test_rows_are_counted_and_the_malformed_named(tmp_path: Path) -> None:
    data = tiny_tuning.rows(tmp_path, 9)
    good = json.loads(data.read_text())
    data.write_text(json.dumps([good[0], {"instruction": "", "output": "x"}, *good[1:], 5]))
    told: list[tuple[int, int, str]] = []
    found = tiny_tuning.run(
        tiny_tuning.recipe(rows=6, epochs=2),
        data,
        tmp_path / "work",
        progress=lambda done, total, note="": told.append((done, total, note)),
    )
    assert found.values["rows"] == 6
    assert found.values["malformed"] == 2
    (warning,) = found.warnings
    assert warning.startswith("2 rows are malformed: row 1: instruction: ")
    assert "; row 10: int" in warning
    assert found.values["steps"] == 4
    losses = found.arrays["loss"]
    assert found.values["loss_epoch_1"] == pytest.approx(losses[2:].mean())
    assert found.values["loss_last"] == losses[-1]
    assert told[-1] == (4, 4, f"loss {losses[-1]:.2f}")


def test_the_end_of_sequence_is_learned_where_it_pads_too(tmp_path: Path) -> None:
    """Every token but a row's first is, whatever it is."""
    data = tiny_tuning.rows(tmp_path, 4)
    found = tiny_tuning.run(tiny_tuning.recipe(), data, tmp_path / "work")
    assert found.values["pad_token"] == "<|endoftext|>"
    assert found.values["truncated"] == 0
    tokens, learned = found.values["tokens"], found.values["learned_tokens"]
    assert isinstance(tokens, int)
    assert learned == tokens - 4


# -----------------------------------------------------------------------------
# What goes wrong


def test_a_run_that_diverges_is_a_result(tmp_path: Path) -> None:
    data = tiny_tuning.rows(tmp_path, 12)
    found = tiny_tuning.run(tiny_tuning.recipe(learning_rate=1e30), data, tmp_path / "work")
    assert found.values["finite"] == 0
    bad = np.count_nonzero(~np.isfinite(found.arrays["loss"]))
    assert found.values["non_finite_steps"] == bad > 0
    json.dumps(found.values, allow_nan=False)  # a record is JSON
    assert any("diverged" in each for each in found.warnings)
    assert found.model is not None


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
    ],
)
def test_too_little_memory_is_one_message(
    error: RuntimeError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotRunError, match=r"4 rows a batch[\s\S]*another recipe"):
        _run_that_raises(error, tmp_path, monkeypatch)


def test_any_other_error_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        _run_that_raises(RuntimeError("shapes cannot be multiplied"), tmp_path, monkeypatch)


def _run_that_raises(
    error: RuntimeError, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Measurement:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Collator, "__call__", fail)
    data = tiny_tuning.rows(folder, 4)
    return tiny_tuning.run(tiny_tuning.recipe(), data, folder / "work")


def test_float16_needs_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CannotRunError, match="float16 needs a CUDA GPU"):
        tiny_tuning.run(
            tiny_tuning.recipe(precision="float16"), tmp_path / "none.json", tmp_path / "work"
        )
