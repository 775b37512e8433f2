"""What in a model's forward pass waits for the GPU, answered without: the same bits, no wait.

A host that waits at every step stands still while the GPU works, and the GPU while the host catches
up. transformers waits in two places of models that are tuned here:

- GPT-NeoX copies a number to the GPU in every block, to fill what a token may not see
  (`transformers_model.attended`).
- Llama and OLMo (sdpa) ask the GPU whether a batch is padded; the host has made it, and knows.

What is left waits by design: float16's scaling asks at every step whether a gradient is infinite.

Reference: transformers 4.40.0, `AttentionMaskConverter`.
Not covered: FlashAttention, a checkpoint's own code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from torch import Tensor
from transformers.modeling_attn_mask_utils import AttentionMaskConverter
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXAttention

from runner.models.transformers_model import attended


@contextmanager
def no_waits(attention_mask: Tensor | None) -> Iterator[None]:
    """Forward passes that do not wait, for the batch with this mask, (B, L), on the host."""
    whole = attention_mask is None or bool(attention_mask.all())

    def is_whole(*_: object, **__: object) -> bool:
        return whole

    with (
        mock.patch.object(GPTNeoXAttention, "_attn", attended),
        mock.patch.object(AttentionMaskConverter, "_ignore_causal_mask_sdpa", is_whole),
    ):
        yield
