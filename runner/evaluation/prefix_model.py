"""lm-eval's `HFLM` with every shared prefix run once: the same requests, the same answers.

Tasks, prompts, token ids, the dtype of the log-softmax and the comparison for `is_greedy` are as in
`MeasuredLM`. Differs: what several requests begin with runs once (`prefix_tree`), the output layer
is applied only where a score is read, and equal inputs run once whatever their continuations are.
Rows are batched otherwise, so that numbers differ by rounding, as between two batch sizes.

What a setting means here: `batch_size` prompts of the longest length are the positions that one
forward pass may have, padding included, and their logits, which stock lm-eval holds three times
over, are the memory for states; so whatever is predicted to fit, fits. `order` is that of batches:
long ones first, or short ones.

Prompts that lose their left end share nothing; they run whole, and are counted.

Reference: lm-eval 0.4.2, `HFLM._loglikelihood_tokens`, `TemplateLM.loglikelihood`.
Not covered: sharing between calls. One call has all subjects at one number of examples, and the
examples are 3 % of its tokens.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax
from torch.utils._pytree import (  # private, and the same in every torch since 2.2
    tree_leaves,
    tree_map,
)
from transformers import PreTrainedModel

from runner.evaluation import tokens
from runner.evaluation.language_model import MeasuredLM, Request
from runner.evaluation.offline import import_lm_eval
from runner.evaluation.prefix_tree import Group, Limits, plan_groups
from runner.evaluation.token_store import TokenStore
from runner.evaluation.tokens import Encoded
from runner.models import mamba, mamba2_mixer, mamba_paths, registry

import_lm_eval()  # the import below fails offline without it

from lm_eval.api.model import CacheHook  # noqa: E402

# -----------------------------------------------------------------------------
# What a model reads for some requests, and where their scores are read
#
# lm-eval 0.4.2 feeds context and continuation without its last token, cut at the left to the
# longest length, and reads a score for each token of the continuation from the position before it.
# Requests that are fed the same tokens are one input here, whatever their continuations.


@dataclass
class ModelInput:
    """What the model reads for one or more requests."""

    tokens: NDArray[np.int64]
    reads: int
    """The first position at which a score is read; the last is the last token's."""
    requests: list[int] = field(default_factory=list)
    whole: bool = True
    """Whether nothing was cut off at the left."""


def distinct_inputs(requests: Sequence[Request | Encoded], max_length: int) -> list[ModelInput]:
    """Distinct inputs, cut at the left as `HFLM` cuts them."""
    found: dict[bytes, ModelInput] = {}
    seen: dict[tuple[int, tuple[int, ...]], ModelInput] = {}
    for number, (_, context, continuation) in enumerate(requests):
        after = continuation[:-1]
        asked = id(context), tuple(after)  # requests of one question share its context
        if asked not in seen:
            whole = np.concatenate([context, np.array(after, np.int64)], dtype=np.int64)
            tokens = whole[-max_length:]
            each = found.setdefault(tokens.tobytes(), ModelInput(tokens, len(tokens)))
            each.whole = each.whole and len(whole) <= max_length
            seen[asked] = each
        each = seen[asked]
        each.reads = min(each.reads, len(each.tokens) - len(continuation))
        each.requests.append(number)
    return list(found.values())


def score_positions(
    inputs: list[ModelInput], continuations: list[list[int]], before: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where scores are read in a batch, and which.

    Returns:
        Row and column of each position read, (2, positions); for each token of each continuation,
        which of these positions and which entry of the vocabulary, (2, tokens).
    """
    rows, columns, reads, read = [], [], [], 0
    left = iter(continuations)
    for row, each in enumerate(inputs):
        columns.append(np.arange(each.reads, len(each.tokens)) - before)
        rows.append(np.full(len(columns[-1]), row))
        read += len(columns[-1])
        reads += [np.arange(read - len(next(left)), read) for _ in each.requests]
    entries = np.array([token for each in continuations for token in each])
    return np.stack([np.concatenate(rows), np.concatenate(columns)]), np.stack(
        [np.concatenate(reads), entries]
    )


# -----------------------------------------------------------------------------
# States as values
#
# A state is tensors in nested tuples, named tuples or dicts. Two tensors that share
# memory hold it once: the rows of a branch that was not copied cost nothing.


def state_bytes(state: object) -> int:
    """Bytes of memory that a state keeps from being freed."""
    storages = [tensor.untyped_storage() for tensor in tree_leaves(state)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def state_rows(state: Any, rows: Tensor) -> Any:  # noqa: ANN401 - the same nested tuples come back
    """Row i of the result is row rows[i] of the state.

    Args:
        state: Nested tuples, named tuples or dicts of tensors with the batch first.
        rows: int64, (rows of the result,), on any device.

    Returns:
        The same shape of tuples. Where all rows are one and the same the tensors are views that
        repeat it, without a copy: read them, never write.
    """
    wanted = rows.tolist()
    if len(set(wanted)) == 1:
        one = slice(wanted[0], wanted[0] + 1)
        return tree_map(lambda each: each[one].expand(len(wanted), *each.shape[1:]), state)
    there = on_device(rows, tree_leaves(state)[0].device)  # once, for all blocks
    return tree_map(lambda each: each.index_select(0, there), state)


def on_device(given: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU where it is needed, without waiting for what runs there."""
    if device.type != "cuda":
        return given.to(device)
    return given.pin_memory().to(device, non_blocking=True)


# -----------------------------------------------------------------------------
# The model

SCORED = 4096
"""Positions whose scores over the vocabulary are held at once, 0.8 GB in float32."""

AHEAD = 4
"""Batches that Python may be ahead of the GPU: as many as keep it busy, few enough that answers
are told as they come."""

CALL = {False: 8e9, True: 40e9}
"""Operations in matrix products that a GPU gets done while Python launches one block, in FP32 and
in half precision. In FP32 it is the GPU that is waited for, and half of them are left."""

Answer = tuple[float, bool]
"""Log-likelihood of a continuation in nats, and whether greedy decoding would give it."""


class Scores:
    """Of the tokens of some continuations, on their way from the device."""

    def __init__(self, found: Tensor, dtype: torch.dtype, continuations: list[list[int]]) -> None:
        """`found`: of each token its log-likelihood, and 1 if greedy decoding gives it; float32."""
        self._dtype = dtype
        self._starts = np.cumsum([0, *map(len, continuations[:-1])])
        self._found = found.to("cpu", non_blocking=True)  # from a GPU into pinned memory
        self._there = torch.cuda.Event() if found.is_cuda else None
        if self._there:
            self._there.record()

    def answers(self) -> list[Answer]:
        """One for each continuation, once they have arrived."""
        if self._there:
            self._there.synchronize()
        value, equal = self._found.double().numpy()
        sums = torch.from_numpy(np.add.reduceat(value, self._starts)).to(self._dtype).tolist()
        return list(zip(sums, np.logical_and.reduceat(equal, self._starts).tolist(), strict=True))


class PrefixLM(MeasuredLM):
    """`MeasuredLM` that runs shared prefixes once; made with the same arguments and the family."""

    def __init__(self, *args: Any, family: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)
        self._family = registry.MODELS[family]
        cuts = tokens.encodes_in_parts(self.tokenizer, bos=self.add_bos_token)
        self._pieces = TokenStore(self.tokenizer) if cuts else None
        self._limits: dict[int, Limits] = {}
        """By batch size, which is halved where the memory runs out."""
        self._stock = False
        self.counts = {"tokens_run": 0, "tokens_stock": 0, "truncated": 0}
        """Of all calls: tokens that ran, those that stock would have run, both without padding;
        inputs that lost their left end."""

    @contextmanager
    def as_stock(self, batch_size: int) -> Iterator[None]:
        """Answer as `MeasuredLM` does, with a batch size of its own, and tell no hook of it."""
        size, hook = self.batch_size, self.cache_hook
        self._stock = True
        self.batch_size_per_gpu = batch_size
        self.set_cache_hook(CacheHook(None))
        try:
            yield
        finally:
            self._stock = False
            self.batch_size_per_gpu = size
            self.set_cache_hook(hook)

    def loglikelihood(self, requests: list[Any], **_: object) -> list[Answer]:
        """As in `HFLM`, each piece of text encoded once where the tokenizer allows it."""
        pairs = [request.args for request in requests]
        if self._stock or not self._pieces or any(not context for context, _ in pairs):
            answers: list[Answer] = super().loglikelihood(requests)
            return answers
        return self._loglikelihood_tokens(tokens.encode_pairs(self._pieces, pairs))

    def _loglikelihood_tokens(
        self, requests: Sequence[Request | Encoded], **options: object
    ) -> list[Answer]:
        """As in `HFLM`, in the order of the requests."""
        if self._stock:
            return super()._loglikelihood_tokens(cast("list[Request]", requests), **options)
        self.input_lengths = [len(context) + len(letter) - 1 for _, context, letter in requests]
        inputs = distinct_inputs(requests, self.max_length)
        if self.batch_size not in self._limits:
            self._limits[self.batch_size] = self._measured_limits()
        limits = self._limits[self.batch_size]
        free = [each.reads if each.whole else 0 for each in inputs]
        root = plan_groups([each.tokens for each in inputs], free, limits)
        self.counts["tokens_stock"] += sum(len(each.tokens) for each in inputs)
        self.counts["truncated"] += sum(not each.whole for each in inputs)
        answers: list[Answer] = [(float("nan"), False)] * len(requests)
        waiting: deque[tuple[list[int], Scores]] = deque()

        def told(at_most: int) -> None:
            while len(waiting) > at_most:
                asked, scores = waiting.popleft()
                for number, answer in zip(asked, scores.answers(), strict=True):
                    answers[number] = answer
                    self.cache_hook.add_partial("loglikelihood", requests[number][0], answer)

        for batch, before, hidden in self._hidden(root, inputs, limits, None):
            chosen = [inputs[place] for place in batch]
            asked = [number for each in chosen for number in each.requests]
            continuations = [requests[number][2] for number in asked]
            waiting.append((asked, self._scored(chosen, continuations, before, hidden)))
            told(AHEAD)
        told(0)
        return answers

    def _hidden(
        self,
        group: Group,
        inputs: list[ModelInput],
        limits: Limits,
        state: Any,  # noqa: ANN401
    ) -> Iterator[tuple[list[int], int, Tensor]]:
        """Run a group's leaves, then the groups below it, each from the state before it.

        Yields:
            Inputs of a batch; how many of their tokens ran before it; its hidden states, (batch,
            length, hidden size), padded on the right.
        """
        lengths = [len(each.tokens) for each in inputs]
        for batch in group.batches(lengths, limits):
            rows, places = zip(*batch, strict=True)
            tokens = [inputs[place].tokens[group.length :] for place in places]
            yield list(places), group.length, self._continued(tokens, state, rows, keep=False)[0]
        for below in group.groups:
            span = slice(group.length, below.length)
            tokens = [inputs[place].tokens[span] for place in below.members]
            after = self._continued(tokens, state, below.parents)[1]
            yield from self._hidden(below, inputs, below.below(limits), after)
            del after

    def _continued(
        self,
        tokens: list[NDArray[np.int64]],
        state: Any,  # noqa: ANN401
        rows: Sequence[int],
        *,
        keep: bool = True,
    ) -> tuple[Tensor, Any]:
        """What some tokens give after rows of a state, padded on the right; a state if kept."""
        self.counts["tokens_run"] += sum(map(len, tokens))
        padded = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
        for row, each in zip(padded, tokens, strict=True):
            row[: len(each)] = each
        if state is not None:
            state = state_rows(state, torch.tensor(rows))
        given = on_device(torch.from_numpy(padded), self.device)
        with self._precision:
            if not keep:
                return registry.hidden(self._family, self.model, given, state), None
            hidden, after = self._family.continued(self.model, given, state)
        return hidden, after

    def _scored(
        self, inputs: list[ModelInput], continuations: list[list[int]], before: int, hidden: Tensor
    ) -> Scores:
        """Scores for the requests of a batch's inputs, one input after the other."""
        reads, (read, token) = score_positions(inputs, continuations, before)
        row, column = on_device(torch.from_numpy(reads), self.device)
        picked = hidden[row, column]
        found = torch.empty(2, len(token), device=self.device)
        for start in range(0, len(picked), SCORED):
            here = np.flatnonzero((read >= start) & (read < start + SCORED))
            wanted = np.stack([here, read[here] - start, token[here]])
            place, row, letter = on_device(torch.from_numpy(wanted), self.device)
            with self._precision:
                logits = self._family.head(self.model, picked[start : start + SCORED])
            scores = log_softmax(logits, dim=-1)
            greedy = scores.argmax(dim=-1)[row] == letter
            found[:, place] = torch.stack([scores[row, letter].float(), greedy.float()])
        self.logits_dtype = str(logits.dtype).removeprefix("torch.")
        return Scores(found, scores.dtype, continuations)

    def _measured_limits(self) -> Limits:
        """What fits, from states of one token and of two, and the logits of a full batch."""
        room, tokens_run = self.batch_size * self.max_length, self.counts["tokens_run"]
        sizes = []
        for length in (1, 2):
            hidden, state = self._continued([np.zeros(length, np.int64)], None, [0])
            sizes.append(state_bytes(state))
        with self._precision:
            logits = self._family.head(self.model, hidden[:, -1])
        self.counts["tokens_run"] = tokens_run
        token = sizes[1] - sizes[0]
        blocks = len(state) if isinstance(state, tuple) else 1
        on_gpu = self.device.type == "cuda"
        return Limits(
            positions=room,
            memory=room * logits.nbytes,
            row=sizes[0] - token,
            token=token,
            falling=self._order == "length-descending",
            call=price_of_a_call(self.model, blocks, self._arm) if on_gpu else Limits.call,
            blocks=blocks if hasattr(self._family, "hidden") else 1,
        )

    def path(self) -> dict[str, str]:
        """As in `MeasuredLM`, with the engine, what went on from a state, and its counts."""
        counts = {name: str(count) for name, count in self.counts.items()}
        engine = {"engine": "prefix", "mamba_from_state": from_state(self.model, self._arm)}
        return super().path() | engine | counts


def price_of_a_call(model: PreTrainedModel, blocks: int, arm: str) -> int:
    """Of a pass, in tokens (`prefix_tree`), on a GPU.

    By the model's shape alone: batches, and with them last bits, are the same in every run.
    """
    half = is_half(model, arm)
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    apart = {id(each.weight) for each in ends if each is not None}
    weights: int = sum(
        each.numel() for each in model.parameters() if each.ndim > 1 and id(each) not in apart
    )
    return round(blocks * CALL[half] / (2 * max(weights, 1)))


def is_half(model: PreTrainedModel, arm: str) -> bool:
    """Whether products are of FP16 or BF16."""
    return arm == "autocast" or model.dtype in mamba.HALF


def from_state(model: PreTrainedModel, arm: str) -> str:
    """What runs a model's Mamba mixers behind a prefix.

    Returns:
        "none" without such mixers; on Mamba's slow path "slow" for the loop and "plain_scan" for
        our kernel that rounds as it does, else how its kernel starts from a state; "plain",
        "chunk_scan" (our kernel) or "unfused" for Mamba-2, whose one call takes no state.
    """
    if later := mamba_paths.mamba2_mixers(model):
        if mamba2_mixer.by_our_kernels(later[0]):
            return "chunk_scan"
        return "plain" if later[0].path == "plain" else "unfused"
    mixers = mamba_paths.stock_mixers(model)
    if not mixers:
        return "none"
    if mamba_paths.path_of(mixers[0]) != "slow":
        return mamba.FROM_STATE.__name__
    kernel = mamba.slow_by_our_kernel(mixers[0], half=is_half(model, arm))
    return "plain_scan" if kernel else "slow"
