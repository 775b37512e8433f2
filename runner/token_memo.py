"""Texts that were tokenised before, remembered over the jobs of one process.

lm-eval encodes the prompt of a multiple-choice question twice for each choice, and every job on
tokenizers that are alike encodes the same questions again: a quarter of an evaluation of a twin.
Token ids are what the tokenizer gives for the whole text, so nothing else changes.

Not covered: a full run of MMLU has more texts than are kept; there only the choices of a question
profit.
"""

import functools

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

TEXTS = 8192
"""Kept at most; of 600 tokens each they take 20 MB."""

Memo = dict[str, NDArray[np.int32]]


@functools.lru_cache(maxsize=2)
def _memo(tokenizer: str, bos: bool) -> Memo:  # noqa: FBT001 - part of a cache's key
    """What is known of tokenizers that say the same of themselves."""
    del tokenizer, bos
    return {}


def memo_of(tokenizer: PreTrainedTokenizerBase, *, bos: bool) -> Memo:
    """Texts to token ids, (tokens,) int32 each, shared by all that would give the same ids.

    Args:
        tokenizer: Slow ones say nothing of themselves and share nothing.
        bos: Whether a text is begun with the token for that.
    """
    if not tokenizer.is_fast:
        return {}
    backend = tokenizer.backend_tokenizer
    return _memo(backend.to_str(), bos)


def keep(memo: Memo, text: str, ids: list[int]) -> None:
    """Remember a text; a full memo starts anew."""
    if len(memo) >= TEXTS:
        memo.clear()
    memo[text] = np.array(ids, dtype=np.int32)
