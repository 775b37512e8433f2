"""The twins' tokenizer, and their text as numbers.

The tokenizer is built as GPT-NeoX-20B's is (NFC, byte-level BPE, no space
added in front, `<|endoftext|>` as the only special token and as id 0), with
2,048 entries. Every text ends with that token.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from twins import corpus

VOCABULARY = 2048
MAX_LENGTH = 2048
"""Tokens of context, as in the paper's stack: longer prompts are cut on the left there."""
END = "<|endoftext|>"
END_ID = 0
SINGLE = tuple(f" {letter}" for letter in corpus.LETTERS)
"""Continuations that the evaluation scores; each must be one token."""


@dataclass(frozen=True)
class Tokens:
    """The corpus as token ids, uint16."""

    train: NDArray[np.uint16]
    """All training texts after one another, shape (N,)."""
    starts: NDArray[np.uint32]
    """Where each training text begins in `train`, ascending, shape (K,)."""
    held_out: NDArray[np.uint16]
    """All held-out texts after one another, shape (M,)."""
    held_out_bytes: int
    """UTF-8 bytes of the held-out texts, end tokens not counted."""
    documents: dict[str, int]
    """Training documents of each task."""

    @property
    def digest(self) -> str:
        """The sha256 of the three arrays' bytes, little-endian."""
        arrays = (self.train.astype("<u2"), self.starts.astype("<u4"), self.held_out.astype("<u2"))
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    def save(self, path: Path) -> None:
        """Write one compressed .npz."""
        notes = json.dumps({"held_out_bytes": self.held_out_bytes, "documents": self.documents})
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            path,
            train=self.train,
            starts=self.starts,
            held_out=self.held_out,
            notes=np.array(notes),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            notes = json.loads(str(file["notes"]))
            return cls(file["train"], file["starts"], file["held_out"], **notes)


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """A byte-level BPE of exactly `VOCABULARY` entries, learned from `texts`.

    Raises:
        ValueError: if the text is too small to fill the vocabulary or one of
            `SINGLE` did not become one token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    check_tokenizer(tokenizer)
    return tokenizer


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that the evaluation could not use.

    Raises:
        ValueError: naming what was found and what was expected.
    """
    size = tokenizer.get_vocab_size()
    if size != VOCABULARY:
        message = f"the tokenizer has {size} entries, expected {VOCABULARY}: more text is needed"
        raise ValueError(message)
    split = [text for text in SINGLE if len(tokenizer.encode(text).ids) != 1]
    if split or tokenizer.token_to_id(END) != END_ID:
        found = tokenizer.token_to_id(END)
        message = f"several tokens each: {split}, id of {END}: {found}; expected [] and {END_ID}"
        raise ValueError(message)


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the three files that transformers' AutoTokenizer reads."""
    special = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), END)
    entry = {
        "content": END,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": True,
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(END_ID): entry},
        "clean_up_tokenization_spaces": False,
        # Without this the general class also returns token_type_ids, which GPT-NeoX refuses.
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": MAX_LENGTH,
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
    }
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in (("tokenizer_config.json", config), ("special_tokens_map.json", special)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _ids(tokenizer: Tokenizer, texts: list[str], chunk: int = 4096) -> Iterator[NDArray[np.uint16]]:
    for first in range(0, len(texts), chunk):
        for encoding in tokenizer.encode_batch(texts[first : first + chunk]):
            yield np.array([*encoding.ids, END_ID], dtype=np.uint16)


def tokenise(tokenizer: Tokenizer, docs: list[corpus.Doc], seed: int) -> Tokens:
    """Both sides of the corpus as token ids, in the order that `seed` gives."""
    held_out_texts = corpus.texts(docs, held_out=True, seed=seed)
    pieces = list(_ids(tokenizer, corpus.texts(docs, held_out=False, seed=seed)))
    ends = np.cumsum([piece.size for piece in pieces])
    return Tokens(
        train=np.concatenate(pieces),
        starts=np.concatenate([[0], ends[:-1]]).astype(np.uint32),
        held_out=np.concatenate(list(_ids(tokenizer, held_out_texts))),
        held_out_bytes=sum(len(text.encode()) for text in held_out_texts),
        documents={
            task: sum(d.task == task and not d.held_out for d in docs) for task in corpus.READERS
        },
    )
