"""Mamba-2, by our own code: the official layout, loaded by `mamba2_checkpoint`.

A prefix and what follows it run in plain PyTorch, whatever path the mixers are set to: the kernels
hand out no state. Chunks start anew after a prefix, which in half precision moves what is rounded
(`mamba2_scan`). Attention and remote code have no meaning here and are not read.
"""

from pathlib import Path

import torch
from torch import Tensor

from repro.jobs import Attention
from runner import kernels
from runner.models import mamba2_checkpoint
from runner.models.mamba2 import Mamba2ForCausalLM, add_and_norm
from runner.models.mamba2_mixer import MixerState

States = tuple[MixerState, ...]
"""What each block's mixer carries on."""


class Mamba2Model:
    """The family; see `ModelFamily`."""

    def load(
        self, folder: Path, dtype: torch.dtype, attention: Attention, *, remote_code: bool
    ) -> Mamba2ForCausalLM:
        """As `ModelFamily.load` says."""
        del attention, remote_code
        model = mamba2_checkpoint.load(folder, dtype)
        model.to(kernels.device())
        return model

    def logits(self, model: Mamba2ForCausalLM, tokens: Tensor) -> Tensor:
        """As `ModelFamily.logits` says."""
        with torch.no_grad():
            logits: Tensor = model(tokens).logits
        return logits

    def prefix(self, model: Mamba2ForCausalLM, tokens: Tensor) -> States:
        """As `ModelFamily.prefix` says."""
        return _continued(model, tokens, None)[1]

    def after_prefix(self, model: Mamba2ForCausalLM, tokens: Tensor, state: States) -> Tensor:
        """As `ModelFamily.after_prefix` says."""
        return _continued(model, tokens, state)[0]


@torch.no_grad()
def _continued(
    model: Mamba2ForCausalLM, tokens: Tensor, before: States | None
) -> tuple[Tensor, States]:
    """The pass of `Mamba2Backbone`, from a state to a state."""
    backbone = model.backbone
    hidden, residual = backbone.embedding(tokens), None
    after = []
    for number, block in enumerate(backbone.layers):
        normed, residual = add_and_norm(hidden, residual, block.norm, model.config)
        hidden, state = block.mixer.continued(normed, before[number] if before else None)
        after.append(state)
    normed, _ = add_and_norm(hidden, residual, backbone.norm_f, model.config)
    return model.lm_head(normed), tuple(after)


MAMBA2 = Mamba2Model()
