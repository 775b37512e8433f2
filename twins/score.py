"""How well a twin predicts held-out text, beside what counting alone would give.

All losses are means over the same predicted tokens: the held-out text is cut
into windows of `WINDOW` tokens (the rest is dropped) and the first token of
each window is not predicted.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from twins import tokens as tk

WINDOW = 1024


@dataclass(frozen=True)
class Score:
    """Held-out figures of one twin."""

    loss: float
    """Cross-entropy, nats per token."""
    bits_per_byte: float
    """The same per byte of UTF-8 text, in bits, at the held-out text's mean token length."""
    letter_accuracy: float
    """Share of held-out questions whose likeliest letter is right; chance is 0.25."""
    letters: int
    """Questions behind `letter_accuracy`."""


def windows(tokens: tk.Tokens) -> NDArray[np.int64]:
    """The held-out text, shape (W, WINDOW)."""
    count = tokens.held_out.size // WINDOW
    return tokens.held_out[: count * WINDOW].reshape(count, WINDOW).astype(np.int64)


def bits_per_byte(loss: float, tokens: tk.Tokens) -> float:
    """Turn nats per token into bits per byte of held-out text."""
    return loss / math.log(2) * tokens.held_out.size / tokens.held_out_bytes


def unigram_entropy(tokens: tk.Tokens) -> float:
    """Entropy of the predicted tokens' own frequencies, H = -Σ p log p, nats per token.

    No model that ignores context can have a lower loss on this text, since the
    frequencies are taken from the text itself.

    Example:
        >>> ids = np.tile(np.arange(4, dtype=np.uint16), WINDOW)
        >>> text = tk.Tokens(ids, np.zeros(1, np.uint32), ids, 1, {})
        >>> abs(unigram_entropy(text) - math.log(4)) < 1e-6
        True
    """
    counts = np.bincount(windows(tokens)[:, 1:].ravel())
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def answers(ids: NDArray[np.int64], marks: dict[str, int]) -> NDArray[np.bool_]:
    """Where `ids` holds the letter that answers a question: "Answer: B" and the line's end.

    Args:
        ids: shape (W, L).
        marks: token ids of ":", of the line's end, and of the four letters.
    """
    found = np.zeros(ids.shape, dtype=np.bool_)
    letters = [marks[text] for text in tk.SINGLE]
    ended = np.isin(ids[:, 2:], [marks["\n"], tk.END_ID])
    found[:, 1:-1] = np.isin(ids[:, 1:-1], letters) & (ids[:, :-2] == marks[":"]) & ended
    return found


@torch.no_grad()
def score(
    model: PreTrainedModel,
    tokens: tk.Tokens,
    marks: dict[str, int],
    device: torch.device,
    rows: int = 16,
) -> Score:
    """Measure one twin on the held-out text, in FP32.

    Args:
        model: in evaluation mode; moved to `device` and back to the CPU.
        tokens: the corpus.
        marks: as for `answers`.
        device: where to compute.
        rows: windows in a batch.
    """
    model = model.to(device)
    ids, letters = windows(tokens), torch.tensor([marks[text] for text in tk.SINGLE])
    place = answers(ids, marks)
    nats, right = 0.0, 0
    for first in range(0, len(ids), rows):
        batch = torch.from_numpy(ids[first : first + rows])
        logits = model(batch.to(device), use_cache=False).logits[:, :-1].float().cpu()
        target, asked = batch[:, 1:], torch.from_numpy(place[first : first + rows, 1:])
        nats += torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), target.flatten(), reduction="sum"
        ).item()
        guess = letters[logits[asked][:, letters].argmax(-1)]
        right += int((guess == target[asked]).sum())
    model.cpu()
    asked_in_all = int(place[:, 1:].sum())
    loss = nats / (ids.size - len(ids))
    return Score(loss, bits_per_byte(loss, tokens), right / max(1, asked_in_all), asked_in_all)
