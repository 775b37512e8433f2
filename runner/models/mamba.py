"""Mamba, by transformers 4.40.0's own class.

Loaded as lm-eval does, through a `device_map`, in half precision all weights are rounded; A_log,
too, though it stays a float32 tensor. Without a `device_map` transformers rounds all but A_log.

Its cache takes one token at a time once it holds something, in place. So what follows a prefix is
stepped through, on a copy of the cache. In half precision the cache holds the recurrent state in
that dtype: each step rounds it, where one pass over the whole sequence keeps it in float32.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.mamba.modeling_mamba import MambaCache

from runner.models.transformers_model import TransformersModel


class MambaModel(TransformersModel):
    """With transformers' cache as state: the last inputs of the convolution and h, by layer."""

    def prefix(self, model: PreTrainedModel, tokens: Tensor) -> MambaCache:
        """As `ModelFamily.prefix` says."""
        with torch.no_grad():
            return model(tokens, use_cache=True).cache_params

    def after_prefix(self, model: PreTrainedModel, tokens: Tensor, state: MambaCache) -> Tensor:
        """As `ModelFamily.after_prefix` says."""
        cache = _copy(model, state)
        with torch.no_grad():
            steps = [
                model(token, cache_params=cache, use_cache=True).logits
                for token in tokens.split(1, dim=1)
            ]
        return torch.cat(steps, dim=1)


def _copy(model: PreTrainedModel, state: MambaCache) -> MambaCache:
    held = state.ssm_states[0]
    cache = MambaCache(model.config, len(held), dtype=held.dtype, device=held.device)
    cache.conv_states = {layer: last.clone() for layer, last in state.conv_states.items()}
    cache.ssm_states = {layer: each.clone() for layer, each in state.ssm_states.items()}
    cache.seqlen_offset = state.seqlen_offset
    return cache


MAMBA = MambaModel("mamba")
