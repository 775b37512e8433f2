"""The training loop against TRL's own, and what in it waits for a GPU.

Oracles: SFTTrainer of TRL 0.8.1 with nothing in its place, to the bit; torch's dispatcher, which
sees every tensor that is asked for a value and every copy to a device that is not the host (meta).
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_tuning
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Subset
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, OlmoConfig, PhiConfig
from trl import SFTTrainer

from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_config import Mamba2Config
from runner.models.mamba_paths import set_path
from runner.tuning import finetune, trainer
from runner.tuning.no_waits import no_waits
from runner.tuning.record import TrainingLog

pytestmark = pytest.mark.usefixtures("one_thread")


# -----------------------------------------------------------------------------
# Every step, to the bit


class Stock(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer as it is, which writes down what each step gave."""

    path = trainer.Tuner.path

    def __init__(
        self, model: nn.Module, tokenizer: Any, examples: Any, collator: Any, **given: Any
    ) -> None:
        super().__init__(
            model,
            args=trainer.training_arguments(given["recipe"], given["work"]),
            train_dataset=Subset(examples, range(len(examples))),  # type: ignore[arg-type]
            data_collator=collator,
            tokenizer=tokenizer,
            max_seq_length=given["recipe"].max_length,
            dataset_text_field="text",
        )
        self.training_log = TrainingLog()

    def fit(self) -> TrainingLog:
        self.train()
        return self.training_log

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        self.training_log.learning_rate.append(self.optimizer.param_groups[0]["lr"])
        loss: Tensor = super().training_step(model, inputs)
        self.training_log.loss.append(loss.item())
        return loss

    def _maybe_log_save_evaluate(self, loss: Tensor, norm: Tensor, *others: Any) -> None:
        if len(self.training_log.gradient_norm) < self.state.global_step:
            self.training_log.gradient_norm.append(norm.item())
        super()._maybe_log_save_evaluate(loss, norm, *others)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["full", "lora-all"])
@pytest.mark.parametrize("family", tiny_tuning.TWINS)
def test_every_step_is_that_of_the_stock_trainer(
    family: str, method: Any, precision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, twin = tiny_tuning.rows(tmp_path, 5), tiny_tuning.TWINS[family]
    size = {"epochs": 2, "loss": "answer"} if family == "gpt-neox" else {"max_length": 12}
    asked = tiny_tuning.recipe(method=method, precision=precision, batch_size=2, **size)
    found = tiny_tuning.run(asked, data, tmp_path / "ours", twin)
    monkeypatch.setattr(finetune, "Tuner", Stock)
    expected = tiny_tuning.run(asked, data, tmp_path / "stock", twin)
    for name in ("loss", "learning_rate", "gradient_norm"):
        assert len(found.arrays[name]) == 3 * asked.epochs
        assert np.array_equal(found.arrays[name], expected.arrays[name]), name
    assert found.model is not None
    assert expected.model is not None
    for path in found.model.glob("*.safetensors"):
        assert path.read_bytes() == (expected.model / path.name).read_bytes()


# -----------------------------------------------------------------------------
# Waits


class Waits(TorchDispatchMode):
    """Notes every tensor that is asked for a value, or moved from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = args[0] if args else None
        both = isinstance(made, Tensor) and isinstance(given, Tensor)
        if "local_scalar" in str(func) or (both and made.device != given.device):
            self.found.append(str(func))
        return made


def _twin(family: str) -> Any:
    return AutoConfig.from_pretrained(tiny_tuning.TWINS[family])


SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 32, "pad_token_id": 1}
MODELS = {
    "gpt-neox": lambda: AutoModelForCausalLM.from_config(_twin("gpt-neox")),
    "mamba": lambda: AutoModelForCausalLM.from_config(_twin("mamba")),
    "mamba2": lambda: Mamba2ForCausalLM(
        Mamba2Config(d_model=64, n_layer=2, vocab_size=64, pad_vocab_size_multiple=16)
    ),
    "llama": lambda: AutoModelForCausalLM.from_config(LlamaConfig(**SMALL)),
    "olmo": lambda: AutoModelForCausalLM.from_config(OlmoConfig(**SMALL)),
    "phi": lambda: AutoModelForCausalLM.from_config(PhiConfig(**SMALL)),
}
ON_A_CPU = {"mamba2", "llama", "olmo"}
"""Their code tells autocast its device, which cannot be meta; a copy to it would go unseen."""


@contextmanager
def _as_stock(_: Any) -> Iterator[None]:
    yield


def waits(family: str, around: Any, *, padded: bool) -> list[str]:
    """What one forward and backward pass would wait for."""
    device = "cpu" if family in ON_A_CPU else "meta"
    with torch.device(device):
        model = MODELS[family]().train()
    set_path(model, "slow")
    model.config.use_cache = False
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[0, 5:] = 0 if padded else 1
    batch = {name: torch.zeros(2, 8, dtype=torch.int64) for name in ("input_ids", "labels")}
    if "mamba" not in family:
        batch["attention_mask"] = mask
    with around(batch.get("attention_mask")):
        batch = {name: each.to(device) for name, each in batch.items()}
        with Waits() as mode:
            model(**batch).loss.backward()
    return mode.found


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("family", MODELS)
def test_no_pass_of_a_model_waits(family: str, padded: bool) -> None:  # noqa: FBT001
    assert waits(family, no_waits, padded=padded) == []


def test_stock_models_wait() -> None:
    """Without this the test above could not fail."""
    assert waits("gpt-neox", _as_stock, padded=True) == ["aten._to_copy.default"] * 2
    for family in ("llama", "olmo"):
        assert waits(family, _as_stock, padded=True) == ["aten._local_scalar_dense.default"]


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("family", ["gpt-neox", "llama", "olmo"])
def test_what_does_not_wait_gives_the_same_bits(family: str, padded: bool) -> None:  # noqa: FBT001
    torch.manual_seed(0)
    model = MODELS[family]().train()
    ids = torch.randint(50, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0 if padded else 1
    labels = ids.masked_fill(mask == 0, -100)
    results = []
    for around in (no_waits, _as_stock):
        model.zero_grad()
        with around(mask), torch.autocast("cpu", torch.bfloat16, enabled=padded):
            found = model(input_ids=ids, attention_mask=mask, labels=labels)
        found.loss.backward()
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        results.append([found.logits.detach(), *gradients])
    assert len(results[0]) > 10
    for ours, stock in zip(*results, strict=True):
        assert torch.equal(ours, stock)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("ignore")  # of a torch newer than the pin
@pytest.mark.parametrize(("precision", "waits"), [("float32", 0), ("bfloat16", 0), ("float16", 1)])
@pytest.mark.parametrize("family", tiny_tuning.TWINS)
def test_no_step_waits_for_the_gpu(
    family: str, precision: Any, waits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But float16's, once, for the gradients that its scale makes infinite."""
    counted: list[int] = []
    step = trainer.Tuner._prepare_inputs

    def watched(self: trainer.Tuner, inputs: Any) -> Any:
        counted.append(sum("called a synchronizing" in str(each.message) for each in told))
        torch.cuda.set_sync_debug_mode("warn")
        return step(self, inputs)

    monkeypatch.setattr(trainer, "LOOK", math.inf)
    monkeypatch.setattr(trainer, "WATCHED", 2)
    monkeypatch.setattr(trainer.Tuner, "_prepare_inputs", watched)
    asked = tiny_tuning.recipe(precision=precision, mamba_path="live", batch_size=2)
    data = tiny_tuning.rows(tmp_path, 16)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            tiny_tuning.run(asked, data, tmp_path / "work", tiny_tuning.TWINS[family])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert np.diff(counted)[3:].tolist() == [waits] * 4
