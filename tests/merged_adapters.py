"""Whether adapters act as they would when merged.

A path that is handed a projection's weight passes its adapter by, while merging writes it into that
very weight: then logits differ by more than rounding.

Reference: PEFT 0.10.0, `tuners/lora/layer.py`; transformers 4.40.0 and mamba-ssm 2.2.2 for what is
handed weights (`runner.models.mamba_paths`).
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn


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
