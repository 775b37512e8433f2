r"""Token ids of requests, each piece of text encoded once, and exactly those that lm-eval gets.

lm-eval 0.4.2 encodes context and continuation together, then the context alone, and takes the
ids beyond the context's for the continuation (`TemplateLM._encode_pair`). Few-shot prompts repeat
whole paragraphs. Here texts are cut where the tokenizer cuts them anyway, and each distinct piece
is encoded once.

A byte-level BPE with the pre-tokenizer of GPT-2 (Pythia, Mamba) merges only inside words that

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

matches. No word holds a blank after something else, so one always ends between a printable ASCII
character and a blank or line break. The pattern never looks back, and looks ahead only from a
blank to what follows it: both sides match as they do together. NFC changes neither character and
joins nothing across them. Added tokens are searched first; none may reach across. SmolLM2 sets each
digit apart before that, wherever it stands: both sides of a cut are parted as both together.

Not covered: other tokenizers (Llama's), which `encodes_in_parts` refuses.

Reference: lm-eval 0.4.2; tokenizers 0.15; `tokenizer.json` of EleutherAI's GPT-NeoX-20B.
"""

import functools
import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

Pair = tuple[str, str]
"""Context and continuation of a request, as lm-eval has them."""

PARAGRAPH = re.compile(r"(?<=[!-~])(?=\n\n)")
"""Where texts are cut: before the blank line that stands between lm-eval's solved examples."""

BOUNDARY = re.compile(r"[!-~][ \n]")
"""The characters around a cut between context and continuation."""

_EACH_DIGIT = {"type": "Digits", "individual_digits": True}


def encodes_in_parts(tokenizer: PreTrainedTokenizerBase, *, bos: bool) -> bool:
    """Whether a tokenizer encodes the two sides of a cut as it encodes both together."""
    if bos or not tokenizer.is_fast:
        return False
    backend = tokenizer.backend_tokenizer
    words, normalizer = _description_of(backend.pre_tokenizer), _description_of(backend.normalizer)
    match words:
        case {"type": "Sequence", "pretokenizers": [first, second]} if first == _EACH_DIGIT:
            words = second
    return (
        type(backend.model).__name__ == "BPE"
        and not backend.model.dropout
        and words.get("type") == "ByteLevel"
        and words["use_regex"]
        and not words["add_prefix_space"]
        and normalizer.get("type") in (None, "NFC")
        and not any(
            added.lstrip or added.rstrip or added.single_word or re.search(r"\S\s", added.content)
            for added in tokenizer.added_tokens_decoder.values()
        )
    )


def _description_of(part: Any) -> dict[str, Any]:  # noqa: ANN401 - of tokenizers, which has no types
    """What a part of a tokenizer says of itself in tokenizer.json."""
    return json.loads(part.__getstate__()) if part is not None else {}


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase, pairs: Iterable[Pair]
) -> list[tuple[list[int], list[int]]]:
    """Context and continuation ids of each request; requests of one context share its list.

    Args:
        tokenizer: One that `encodes_in_parts`.
        pairs: Contexts are not empty: for that lm-eval has a rule of its own.
    """
    moved = [_without_trailing_blanks(*pair) for pair in pairs]
    pieces = {context: PARAGRAPH.split(context) for context, _ in moved}
    ends = {pair: _end(pieces[pair[0]][-1], pair[1]) for pair in moved}
    texts = dict.fromkeys(piece for each in pieces.values() for piece in each)
    texts |= dict.fromkeys(text for text, _ in ends.values())
    listed = list(texts)
    options = {"return_attention_mask": False, "return_token_type_ids": False}
    found = tokenizer(listed, add_special_tokens=False, **options)["input_ids"] if listed else []
    ids = dict(zip(listed, found, strict=True))
    contexts = {
        context: [token for piece in each for token in ids[piece]]
        for context, each in pieces.items()
    }
    return [
        (contexts[context], ids[text][len(ids[within]) if within else 0 :])
        for context, (text, within) in ((pair[0], ends[pair]) for pair in moved)
    ]


def _without_trailing_blanks(context: str, continuation: str) -> Pair:
    """As lm-eval moves them: blanks at the end of a context begin the continuation."""
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _end(last: str, continuation: str) -> Pair:
    """A text with the continuation in it, and the beginning of that text which is context."""
    if BOUNDARY.fullmatch(last[-1:] + continuation[:1]):
        return continuation, ""
    return last + continuation, last


# -----------------------------------------------------------------------------
# Texts that were tokenised before, remembered over the jobs of one process.
#
# lm-eval encodes the prompt of a multiple-choice question twice for each choice, and every job on
# tokenizers that are alike encodes the same questions again: a quarter of an evaluation of a twin.
# Token ids are what the tokenizer gives for the whole text, so nothing else changes.
#
# Not covered: a full run of MMLU has more texts than are kept; there only the choices of a question
# profit.

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

    Slow tokenizers say nothing of themselves and share nothing. `bos`: a text is begun with the
    token for that.
    """
    if not tokenizer.is_fast:
        return {}
    backend = tokenizer.backend_tokenizer
    return _memo(backend.to_str(), bos)


def keep_tokens(memo: Memo, text: str, ids: list[int]) -> None:
    """Remember a text; a full memo starts anew."""
    if len(memo) >= TEXTS:
        memo.clear()
    memo[text] = np.array(ids, dtype=np.int32)
