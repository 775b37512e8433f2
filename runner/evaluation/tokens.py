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

import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from runner.evaluation.token_store import TokenStore

Pair = tuple[str, str]
"""Context and continuation of a request, as lm-eval has them."""

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


Encoded = tuple[Pair, NDArray[np.int64], list[int]]
"""A request as lm-eval encodes it, its context an array, which requests of one context share."""


def encode_pairs(store: TokenStore, pairs: Iterable[Pair]) -> list[Encoded]:
    """Requests with the token ids of context and continuation.

    Args:
        store: Of a tokenizer that `encodes_in_parts`.
        pairs: Contexts are not empty: for that lm-eval has a rule of its own.
    """
    asked = list(pairs)
    moved = [_without_trailing_blanks(*pair) for pair in asked]
    pieces = {context: _paragraphs(context) for context in dict.fromkeys(one for one, _ in moved)}
    ends = {pair: _end(pieces[pair[0]][-1], pair[1]) for pair in dict.fromkeys(moved)}
    texts = dict.fromkeys(piece for each in pieces.values() for piece in each)
    texts |= dict.fromkeys(text for text, _ in ends.values())
    ids = store.ids(list(texts))
    contexts = {
        context: np.concatenate([ids[piece] for piece in each], dtype=np.int64)
        for context, each in pieces.items()
    }
    continuations = {
        (text, within): ids[text][len(ids[within]) if within else 0 :].tolist()
        for text, within in dict.fromkeys(ends.values())
    }
    return [
        (pair, contexts[cut[0]], continuations[ends[cut]])
        for pair, cut in zip(asked, moved, strict=True)
    ]


def _paragraphs(text: str) -> list[str]:
    """A text, cut before each blank line behind a printable character.

    Such lines stand between lm-eval's solved examples.
    """
    first, *others = text.split("\n\n")
    found = [first]
    for each in others:
        if "!" <= found[-1][-1:] <= "~":
            found.append("\n\n" + each)
        else:
            found[-1] += "\n\n" + each
    return found


def _without_trailing_blanks(context: str, continuation: str) -> Pair:
    """As lm-eval moves them: blanks at the end of a context begin the continuation."""
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _end(last: str, continuation: str) -> Pair:
    """A text with the continuation in it, and the beginning of that text which is context."""
    if BOUNDARY.fullmatch(last[-1:] + continuation[:1]):
        return continuation, ""
    return last + continuation, last
