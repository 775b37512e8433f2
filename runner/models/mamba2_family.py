"""Mamba-2, by our own code: the official layout, loaded by `mamba2_checkpoint`.

What follows a prefix runs by the path that the mixers are set to (`Mamba2Mixer.continued`). Chunks
start anew after a prefix, which in half precision moves what is rounded (`mamba2_scan`). Attention
and remote code have no meaning here and are not read.
"""

from pathlib import Path

import torch
from torch import Tensor

from repro.schema.jobs import Attention
from runner.models import kernels, mamba2_checkpoint
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

    @torch.no_grad()
    def continued(
        self, model: Mamba2ForCausalLM, tokens: Tensor, state: States | None
    ) -> tuple[Tensor, States]:
        """As `ModelFamily.continued` says: the pass of `Mamba2Backbone`, from state to state."""
        backbone = model.backbone
        hidden, residual = backbone.embedding(tokens), None
        after = []
        for number, block in enumerate(backbone.layers):
            normed, residual = add_and_norm(hidden, residual, block.norm, model.config)
            hidden, left = block.mixer.continued(normed, state[number] if state else None)
            after.append(left)
        normed, _ = add_and_norm(hidden, residual, backbone.norm_f, model.config)
        return normed, tuple(after)

    @torch.no_grad()
    def head(self, model: Mamba2ForCausalLM, hidden: Tensor) -> Tensor:
        """As `ModelFamily.head` says."""
        logits: Tensor = model.lm_head(hidden)
        return logits


MAMBA2 = Mamba2Model()
