"""What in a model's forward pass waits for the GPU, answered without: the same bits, no wait.

A host that waits at every step stands still while the GPU works, and the GPU while the host catches
up. transformers waits in two places of models that are tuned here:

- GPT-NeoX copies a number to the GPU in every block, to fill what a token may not see.
- Llama and OLMo (sdpa) ask the GPU whether a batch is padded; the host has made it, and knows.

What is left waits by design: float16's scaling asks at every step whether a gradient is infinite.

Reference: transformers 4.40.0, `GPTNeoXAttention._attn`, `AttentionMaskConverter`.
Differs: the number is written on the GPU, not copied to it.
Not covered: a cache of keys and values, head masks, FlashAttention, a checkpoint's own code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_attn_mask_utils import AttentionMaskConverter
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXAttention


@contextmanager
def no_waits(attention_mask: Tensor | None) -> Iterator[None]:
    """Forward passes that do not wait, for the batch with this mask, (B, L), on the host."""
    whole = attention_mask is None or bool(attention_mask.all())

    def is_whole(*_: object, **__: object) -> bool:
        return whole

    with (
        mock.patch.object(GPTNeoXAttention, "_attn", _attend),
        mock.patch.object(AttentionMaskConverter, "_ignore_causal_mask_sdpa", is_whole),
    ):
        yield


def _attend(
    layer: Any,  # noqa: ANN401 - transformers has no types
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    head_mask: None = None,
) -> tuple[Tensor, Tensor]:
    """GPT-NeoX's attention; query, key and value are (B, heads, L, width), the mask is added.

    Returns:
        What is attended to, (B, heads, L, width), and the weights, (B, heads, L, L).
    """
    del head_mask
    batch, heads, length, width = query.shape
    if length > layer.bias.shape[-1]:
        layer._init_bias(length, device=key.device)  # noqa: SLF001 - as the stock forward does
    scores = torch.baddbmm(
        query.new_zeros(batch * heads, length, length),
        query.view(batch * heads, length, width),
        key.view(batch * heads, length, width).transpose(1, 2),
        alpha=layer.norm_factor,
    ).view(batch, heads, length, length)
    fill = scores.new_full((), torch.finfo(scores.dtype).min)  # made where it is, by a kernel
    scores = torch.where(layer.bias[:, :, :length, :length], scores, fill)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = functional.softmax(scores, dim=-1).to(value.dtype)
    weights = layer.attention_dropout(weights)
    return torch.matmul(weights, value), weights
