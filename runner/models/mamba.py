"""Mamba, by transformers 4.40.0's own class.

Loaded as lm-eval does, through a `device_map`, in half precision all weights are rounded; A_log,
too, though it stays a float32 tensor. Without a `device_map` transformers rounds all but A_log.

Its own cache takes one token at a time once it holds something, and in half precision rounds the
recurrent state at each. So a state here is `mamba_continued`'s, in float32, and the pass from
state to state is ours.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from runner.models import mamba_continued
from runner.models.mamba_continued import MixerState
from runner.models.transformers_model import TransformersModel

States = tuple[MixerState, ...]
"""What each block's mixer carries on."""


class MambaModel(TransformersModel):
    """With the last inputs of the convolution and h, by layer, as state."""

    @torch.no_grad()
    def continued(
        self, model: PreTrainedModel, tokens: Tensor, state: States | None
    ) -> tuple[Tensor, States]:
        """As `ModelFamily.continued` says: the pass of transformers' `MambaModel`."""
        backbone = model.backbone
        stream = backbone.embeddings(tokens)
        after = []
        for number, block in enumerate(backbone.layers):
            normed = block.norm(stream.to(block.norm.weight.dtype))
            if block.residual_in_fp32:
                stream = stream.to(torch.float32)
            before = state[number] if state else None
            mixed, left = mamba_continued.continued(block.mixer, normed, before)
            stream = stream + mixed
            after.append(left)
        return backbone.norm_f(stream), tuple(after)

    @torch.no_grad()
    def head(self, model: PreTrainedModel, hidden: Tensor) -> Tensor:
        """As `ModelFamily.head` says."""
        return self._widened(model, model.lm_head(hidden.to(model.lm_head.weight.dtype)))


MAMBA = MambaModel("mamba", widens=("mamba",))
