"""Whether every trainable tensor learns.

`AdapterWatch` holds a training run to the rule that nothing which did not learn counts as trained:
over the first optimisation steps every trainable tensor must have received a gradient that is
finite and not all zeros. One exception: LoRA starts with one of its two factors at zero (B, or A
of an embedding), and until that has moved the other's gradient is zeros. A tensor whose gradient
came but only while its partner was zero is `waiting`, not dead.

A step that a gradient scaler skips moves nothing, and the infinite or NaN gradients that made it
skip are none.

Reference: PEFT 0.10.0, `tuners/lora/layer.py`.
Not covered: sharded parameters (FSDP, DeepSpeed); gradients of more than one adapter at a time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

PAIRS = (("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B"))
"""Parts of the names of LoRA's two factors in PEFT."""


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
        partner = self._weights.get(_other_factor(name))

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


def tensors_not_learning(learning: Iterable[TensorLearning]) -> list[str]:
    """Names of the tensors that did not learn and had no reason to wait."""
    return [tensor.name for tensor in learning if not tensor.gradient and not tensor.waiting]


def _other_factor(name: str) -> str:
    """The name of a LoRA factor's other factor; "" for any other tensor."""
    for a, b in PAIRS:
        for one, other in ((a, b), (b, a)):
            if f".{one}." in name:
                return name.replace(f".{one}.", f".{other}.")
    return ""
