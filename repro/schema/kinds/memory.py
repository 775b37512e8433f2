"""Peak memory of an evaluation, before it starts; `benchmarks/memory.py` measures it."""

from typing import TYPE_CHECKING

from repro.schema.families import FAMILIES

if TYPE_CHECKING:
    from repro.schema.catalog import Checkpoint
    from repro.schema.kinds.base import Attention, Setting

MAX_LENGTH = 2048
"""Tokens kept of a prompt (paper's stack: lm-eval truncates from the left)."""
SMALL = 10_000_000
"""Parameters below which a checkpoint is a twin."""
_VOCABULARY = 50_304
_SMALL_VOCABULARY = 2048
"""Of a twin."""
_LARGEST_BATCH = 64


def vocabulary_of(checkpoint: "Checkpoint") -> int:
    """Entries of a checkpoint's vocabulary, about."""
    return _SMALL_VOCABULARY if checkpoint.parameters < SMALL else _VOCABULARY


def fitting_batch(checkpoint: "Checkpoint", setting: "Setting", memory: int) -> int:
    """The largest power of two of questions whose float32 evaluation fits some memory, at most 64.

    float32 whatever the job's dtype: both arms of a difference then have the same batches.

    Args:
        checkpoint: What is evaluated.
        setting: Its attention kernel for float32.
        memory: Bytes; 0 if unknown, which gives 1.
    """
    size = 1
    while size < _LARGEST_BATCH and memory >= peak_memory(
        checkpoint, "float32", 2 * size, setting.attention_float32
    ):
        size *= 2
    return size


def peak_memory(
    checkpoint: "Checkpoint", dtype: str, batch_size: int, attention: "Attention"
) -> int:
    """Peak bytes of an evaluation whose longest prompts fill the context.

    Weights, and the larger of two moments. When a batch is scored: of every position and
    vocabulary entry its logits, their log-softmax, and that of the batch before, which lm-eval
    0.4.2 holds until the next is done; in float32 where a layout of the family widens its logits,
    else in the dtype of the weights. While the blocks run: the scores of the batch before, and what
    `_blocks` says. Within 15 % of what an H200 measured (`benchmarks/memory.py`).

    Args:
        checkpoint: Parameters, hidden size, blocks, heads and family.
        dtype: Dtype of the weights.
        batch_size: Questions in one forward pass.
        attention: Kernel of the attention, where there is one.
    """
    width = 4 if dtype == "float32" else 2
    vocabulary = vocabulary_of(checkpoint)
    tokens = batch_size * MAX_LENGTH
    layouts = FAMILIES[checkpoint.family].layouts.values()  # which it has is seen on loading
    widened = any(each.logits == "widened" for each in layouts)
    scores = (4 if widened else width) * tokens * vocabulary
    blocks = width * tokens * _blocks(checkpoint, attention)
    return checkpoint.parameters * width + max(3 * scores, scores + blocks)


def _blocks(checkpoint: "Checkpoint", attention: "Attention") -> int:
    """Numbers that the blocks hold at once of each token, fitted to `benchmarks/memory.py`.

    transformers keeps keys and values of all blocks, asked or not; eager attention holds
    products of all positions with all, 2.5 times.
    """
    hidden = checkpoint.hidden_size
    if checkpoint.heads is None:
        return 16 * hidden
    products = 2.5 * checkpoint.heads * MAX_LENGTH if attention == "eager" else 0
    return round(products) + (38 + 2 * checkpoint.blocks) * hidden
