"""Estimates of time and memory.

On a GPU speeds are those that were measured of a model's family (`rates`); on a CPU, of the bundled
twins on one core, scaled by parameters, within a factor of three. Jobs that run side by side are
counted one after another. `repro plan` prints estimates, records hold what it really took.
"""

from dataclasses import dataclass

from repro.schema.catalog import Checkpoint
from repro.schema.families import FAMILIES
from repro.schema.kinds.base import Attention, Setting

MAX_LENGTH = 2048
"""Tokens kept of a prompt (paper's stack: lm-eval truncates from the left)."""
_TWIN = 10_000_000
"""Parameters below which a checkpoint is a twin."""

CHARACTERS_A_TOKEN = {"large": 4.0, "small": 2.5}
"""English benchmark text: a 50,000-entry vocabulary, the twins' 2,048 entries."""
_CPU_FLOPS = {"float32": 2e10, "float16": 2e9, "bfloat16": 1e10}
"""Sustained on one core; torch 2.2.1 has no fast float16 product there."""
_CPU_LOOP = {"float32": 25_000.0, "float16": 12_000.0, "bfloat16": 25_000.0}
"""Tokens x blocks a second of Mamba's Python loop over time, on one core, at the twin's width."""
_START = 5.0
"""Seconds to load weights and build prompts on a CPU."""
START = 1.0
"""Seconds to read data and begin, before a GPU has anything to do."""
CHECKED = 2
"""Times that lm-eval answers the sample that the engine prefix is held to."""


def characters_per_token(checkpoint: Checkpoint) -> float:
    """Characters a token of a checkpoint's tokenizer, about."""
    return CHARACTERS_A_TOKEN["small" if checkpoint.parameters < _TWIN else "large"]


def prompt_tokens(prompts: float, question: float, times: float, solved: float) -> float:
    """Tokens of prompts whose solved examples are read so many times.

    Prompts that are too long lose their beginning, and share none.
    """
    if question + solved > MAX_LENGTH:
        return prompts * float(MAX_LENGTH)
    return prompts * question + times * solved


@dataclass(frozen=True)
class Reading:
    """What an evaluation has a model read, and what is done with texts, over all shots."""

    shared: float = 0.0
    """Tokens that the engine prefix reads."""
    answered: float = 0.0
    """Questions that it answers."""
    stock: float = 0.0
    """Tokens that lm-eval reads, without padding."""
    prompts: float = 0.0
    """Prompts that it reads."""
    encoded: float = 0.0
    """Tokens that it encodes, those of each request anew."""

    @property
    def tokens(self) -> float:
        """All that the model reads."""
        return self.shared + self.stock


def cpu_seconds(
    checkpoint: Checkpoint, dtype: str, tokens: float, *, operations: int, loops: int
) -> float:
    """Forward passes, or training steps, over so many tokens, on one core.

    Args:
        checkpoint: Parameters, blocks and family.
        dtype: What products are computed in.
        tokens: Read in all.
        operations: A parameter and token.
        loops: Times that a step goes over Mamba's loop.
    """
    seconds = operations * checkpoint.parameters * tokens / _CPU_FLOPS[dtype] + _START
    if checkpoint.family == "mamba":
        seconds += loops * tokens * checkpoint.blocks / _CPU_LOOP[dtype]
    return seconds


# -----------------------------------------------------------------------------
# Peak memory of an evaluation, before it starts; `benchmarks/memory.py` measures it.

_VOCABULARY = 50_304
_SMALL_VOCABULARY = 2048
"""Of a twin."""
_LARGEST_BATCH = 64
_LONGEST_QUESTION, _LONGEST_SOLVED = 8, 2
"""How much longer than its subject's mean a question of MMLU is at most (of college_medicine 7.6
times), and how many more tokens than estimated a tokenizer makes of solved examples."""


def vocabulary_of(checkpoint: Checkpoint) -> int:
    """Entries of a checkpoint's vocabulary, about."""
    return _SMALL_VOCABULARY if checkpoint.parameters < _TWIN else _VOCABULARY


def fitting_batch(checkpoint: Checkpoint, setting: Setting, memory: int) -> int:
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


def longest_prompt(question: float, solved: float) -> float:
    """Tokens of the longest prompt of a subject, at most about.

    Args:
        question: Tokens of a prompt without examples, on average.
        solved: Tokens of the solved examples before it.
    """
    return min(MAX_LENGTH, _LONGEST_QUESTION * question + _LONGEST_SOLVED * solved)


def peak_memory(
    checkpoint: Checkpoint,
    dtype: str,
    batch_size: int,
    attention: Attention,
    length: float = MAX_LENGTH,
) -> int:
    """Peak bytes of an evaluation whose longest prompts fill the context, or are so long.

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
        length: Tokens of the longest prompts.
    """
    width = 4 if dtype == "float32" else 2
    vocabulary = vocabulary_of(checkpoint)
    tokens = batch_size * length
    layouts = FAMILIES[checkpoint.family].layouts.values()  # which it has is seen on loading
    widened = any(each.logits == "widened" for each in layouts)
    scores = (4 if widened else width) * tokens * vocabulary
    blocks = width * tokens * _blocks(checkpoint, attention, length)
    return checkpoint.parameters * width + round(max(3 * scores, scores + blocks))


def _blocks(checkpoint: Checkpoint, attention: Attention, length: float) -> int:
    """Numbers that the blocks hold at once of each token, fitted to `benchmarks/memory.py`.

    transformers keeps keys and values of all blocks, asked or not; eager attention holds
    products of all positions with all, 2.5 times.
    """
    hidden = checkpoint.hidden_size
    if checkpoint.heads is None:
        return 16 * hidden
    products = 2.5 * checkpoint.heads * length if attention == "eager" else 0
    return round(products) + (38 + 2 * checkpoint.blocks) * hidden
