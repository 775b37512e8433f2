"""Whether every trainable tensor learns, and whether adapters act as they would when merged.

`AdapterWatch` holds a training run to the rule that nothing which did not learn counts as trained:
over the first optimisation steps every trainable tensor must have received a gradient that is
finite and not all zeros. One exception: LoRA starts with one of its two factors at zero (B, or A
of an embedding), and until that has moved the other's gradient is zeros. A tensor whose gradient
came but only while its partner was zero is `waiting`, not dead.

A step that a gradient scaler skips moves nothing, and the infinite or NaN gradients that made it
skip are none.

`merged_difference` asks the same of the outputs: a path that is handed a projection's weight passes
its adapter by, while merging writes it into that very weight.

Reference: PEFT 0.10.0, `tuners/lora/layer.py`; transformers 4.40.0 and mamba-ssm 2.2.2 for what is
handed weights (`runner.models.mamba_paths`).
Not covered: sharded parameters (FSDP, DeepSpeed); gradients of more than one adapter at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

PAIRS = (("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B"))
"""Parts of the names of LoRA's two factors in PEFT."""


# -----------------------------------------------------------------------------
# Learning


@dataclass(frozen=True)
class TensorLearning:
    """What the watched steps did to one trainable tensor."""

    name: str
    """As in `named_parameters`."""
    gradient: bool
    """Whether a gradient came that was finite and not all zeros."""
    moved: bool
    """Whether any of its values differs from what it was before."""
    waiting: bool
    """LoRA only: zeros came for a gradient, as they must while its partner is zero."""


class AdapterWatch:
    """Watches a model's trainable tensors from its making, before the first step, to `result`."""

    def __init__(self, model: nn.Module) -> None:
        self._weights = {n: w for n, w in model.named_parameters() if w.requires_grad}
        self._before = {n: w.detach().to("cpu", copy=True) for n, w in self._weights.items()}
        # Flags stay on the weight's device: reading them would wait for the GPU at every step.
        self._learned: dict[str, Tensor] = {}
        self._expected: dict[str, Tensor] = {}
        self._hooks = [
            weight.register_post_accumulate_grad_hook(self._hook(name))
            for name, weight in self._weights.items()
        ]

    def _hook(self, name: str) -> Callable[[Tensor], None]:
        """What runs whenever a gradient has been added to this tensor's."""
        partner = self._weights.get(_partner(name))

        def note(weight: Tensor) -> None:
            gradient = weight.grad
            if gradient is None:
                return
            learned = gradient.isfinite().all() & gradient.any()
            expected = learned.new_ones(()) if partner is None else partner.detach().any()
            self._learned[name] = learned | self._learned.get(name, False)
            self._expected[name] = expected.to(weight.device) | self._expected.get(name, False)

        return note

    def result(self) -> list[TensorLearning]:
        """What happened to each trainable tensor, in the model's order; the watch ends."""
        for hook in self._hooks:
            hook.remove()
        return [self._of(name, weight) for name, weight in self._weights.items()]

    def _of(self, name: str, weight: Tensor) -> TensorLearning:
        gradient = bool(self._learned.get(name, False))
        return TensorLearning(
            name=name,
            gradient=gradient,
            moved=not torch.equal(weight.detach().cpu(), self._before[name]),
            waiting=not gradient and not bool(self._expected.get(name, True)),
        )


def dead(learning: Iterable[TensorLearning]) -> list[str]:
    """Names of the tensors that did not learn and had no reason to wait."""
    return [tensor.name for tensor in learning if not tensor.gradient and not tensor.waiting]


def _partner(name: str) -> str:
    """The name of a LoRA factor's other factor; "" for any other tensor."""
    for a, b in PAIRS:
        for one, other in ((a, b), (b, a)):
            if f".{one}." in name:
                return name.replace(f".{one}.", f".{other}.")
    return ""


# -----------------------------------------------------------------------------
# Acting


@dataclass(frozen=True)
class MergedDifference:
    """How far merging moves the logits, and what is known to make it do so."""

    largest: float
    """Largest |difference| of a logit between adapters merged and apart."""
    ignored: tuple[str, ...]
    """Adapted layers that the path does not call: their adapters act only when merged."""
    shared: tuple[str, ...]
    """Adapted layers whose weight another layer uses too, which merging changes with it."""

    @property
    def why(self) -> str:
        """Why merged and unmerged differ by more than rounding; "" where they should not."""
        reasons = []
        if self.ignored:
            layers = ", ".join(self.ignored)
            reasons.append(f"the path reads the weights of {layers} and not their adapters")
        if self.shared:
            layers = ", ".join(self.shared)
            reasons.append(f"merging changes {layers} also where its weight is used without it")
        return "; ".join(reasons)


def merged_difference(model: nn.Module, tokens: Tensor) -> MergedDifference:
    """Compare a model's logits with its adapters merged and apart.

    In the mode that the model is in, training or evaluation, as they may take different paths;
    without dropout. Weights are left as they were, to the bit.

    Args:
        model: A causal language model with adapters of PEFT, unmerged.
        tokens: Ids, (batch, length), on the model's device.
    """
    layers: dict[str, Any] = {
        name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)
    }
    called: set[str] = set()
    with torch.no_grad(), _without_dropout(model):
        with ExitStack() as hooks:
            for name, layer in layers.items():
                hook = layer.register_forward_hook(lambda *_, name=name: called.add(name))
                hooks.enter_context(hook)
            apart: Tensor = model(input_ids=tokens).logits
        with _merged(layers.values()):
            merged: Tensor = model(input_ids=tokens).logits
    return MergedDifference(
        largest=float((merged.double() - apart.double()).abs().max()),
        ignored=tuple(name for name in layers if name not in called),
        shared=tuple(name for name, layer in layers.items() if _uses(model, layer.weight) > 1),
    )


def _uses(model: nn.Module, weight: Tensor) -> int:
    """How many modules hold this very tensor as a parameter."""
    return sum(w is weight for module in model.modules() for w in module.parameters(recurse=False))


@contextmanager
def _merged(layers: Iterable[Any]) -> Iterator[None]:
    """Adapters written into base weights; afterwards the weights that there were, unrounded."""
    kept = [
        (layer, layer.get_base_layer().weight, layer.get_base_layer().weight.data)
        for layer in layers
    ]
    try:
        for layer, _, _ in kept:
            layer.merge()
        yield
    finally:
        for layer, weight, data in kept:
            if layer.merged:
                layer.unmerge()
            weight.data = data


@contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    """Dropout layers in evaluation mode, the rest as it is."""
    training = [m for m in model.modules() if isinstance(m, nn.Dropout) and m.training]
    for drop in training:
        drop.eval()
    try:
        yield
    finally:
        for drop in training:
            drop.train()
