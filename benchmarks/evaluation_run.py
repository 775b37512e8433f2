"""One evaluation by one arm of `benchmarks.evaluation`: its time by phase, memory and answers.

A whole evaluation is timed without a clock inside it. The clocks of a run by phase wait for the GPU
wherever a phase begins or ends, so that nothing of ours overlaps and its phases add up to more.
Stock lm-eval's tasks read and render a row at every look, ours once; the data itself is read before
the clock starts. Ours finds the token ids that an earlier run of the same texts kept on the disk:
in the first repeat of a task those of no question, in later ones all.
"""

import contextlib
import functools
import gc
import hashlib
import itertools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from runner.evaluation import tasks as harness_tasks
from runner.evaluation import tokens
from runner.evaluation.offline import import_lm_eval
from runner.evaluation.prefix_model import PrefixLM, distinct_inputs
from runner.evaluation.prefix_tree import first_differing
from runner.evaluation.tasks import RenderedOnce
from runner.evaluation.token_store import TokenStore

import_lm_eval()

from lm_eval.api.task import ConfigurableTask, Task  # noqa: E402
from lm_eval.evaluator import evaluate  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

GPU = torch.cuda.is_available()
PHASES = ("tokenising", "requests", "model", "head", "rest")
"""Encoding texts; building requests; the blocks; the output layer; everything else."""


class Clock:
    """Seconds by phase; what runs inside another phase is not counted there."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    def _turn(self) -> None:
        if GPU:
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what runs inside as a phase."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def of(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted as a phase."""

        @functools.wraps(function)
        def timed(*args: object, **options: object) -> Any:  # noqa: ANN401
            with self.phase(name):
                return function(*args, **options)

        return timed


def tasks_of(task: str, data: Path, subjects: list[str]) -> dict[str, Any]:
    """lm-eval's tasks that make up one of ours; new, save for what reading the data takes."""
    made: dict[str, Any] = (
        harness_tasks.build_mmlu(subjects, data)
        if task == "mmlu"
        else {task: harness_tasks.build(task, data)}
    )
    for each in made.values():
        for kept in (each._asked, each._texts, each._targets, each._choices):  # noqa: SLF001
            kept.clear()  # as if it were new
    return made


@contextlib.contextmanager
def as_lm_eval_has_them() -> Iterator[None]:
    """Tasks that read and render at every look."""
    with contextlib.ExitStack() as stack:
        for name in ("doc_iterator", "doc_to_text", "doc_to_target", "doc_to_choice"):
            theirs = getattr(ConfigurableTask, name)
            stack.enter_context(mock.patch.object(RenderedOnce, name, theirs))
        yield


def forget_token_ids(lm: HFLM) -> None:
    """Have ours read them from the disk, as a new job does."""
    if isinstance(lm, PrefixLM) and lm._pieces:  # noqa: SLF001
        lm._pieces = TokenStore(lm.tokenizer)  # noqa: SLF001


def run(
    arm: str,
    lm: HFLM,
    tasks: dict[str, Any],
    shots: int,
    limit: int | None,
    *,
    by_phase: bool = True,
) -> dict[str, Any]:
    """One evaluation: seconds, by phase if asked, peak memory, answers of each question."""
    clock = Clock()
    gc.collect()
    gc.freeze()  # as a job has done when it begins
    for task in tasks.values():
        task.set_config("num_fewshot", shots)
        if isinstance(task, harness_tasks.LocalTask):
            harness_tasks.restart_sampler(task, harness_tasks.SEED)
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            as_lm_eval_has_them() if arm == "stock" else harness_tasks.templates_compiled_once()
        )
        head = lm.model.get_output_embeddings()
        lines = [(Task, "build_all_requests", "requests"), (head, "forward", "head")]
        if arm == "stock":
            lines += [(lm, "tok_encode", "tokenising"), (lm, "_model_call", "model")]
        else:
            lines += [(tokens, "encode_pairs", "tokenising"), (lm, "_continued", "model")]
        for owner, name, phase in lines if by_phase else ():
            stack.enter_context(
                mock.patch.object(owner, name, clock.of(phase, getattr(owner, name)))
            )
        with clock.phase("rest"):
            found = evaluate(lm, tasks, limit=limit, bootstrap_iters=0, verbosity="ERROR")
    samples = [sample for name in tasks for sample in found["samples"][name]]
    return {
        "seconds": sum(clock.seconds.values()),
        "phases": dict(clock.seconds),
        "peak": torch.cuda.max_memory_allocated() if GPU else 0,
        "answers": [[value for value, _ in sample["filtered_resps"]] for sample in samples],
        "greedy": [[greedy for _, greedy in sample["filtered_resps"]] for sample in samples],
        "prompts": digest_of_prompts([sample["arguments"] for sample in samples]),
    }


def digest_of_prompts(questions: list[list[tuple[str, str]]]) -> str:
    """Of context and continuation of every request of every question."""
    return hashlib.sha256(json.dumps(questions).encode()).hexdigest()


def compared(stock: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """How far the answers of two runs differ."""
    rows = list(zip(stock["answers"], ours["answers"], strict=True))
    other = [one for one, two in rows if np.argmax(one) != np.argmax(two)]
    gaps = [max(one) - sorted(one)[-2] for one in other]
    differences = [abs(a - b) for one, two in rows for a, b in zip(one, two, strict=True)]
    return {
        "predictions_that_differ": len(other),
        "largest_lead_among_them": max(gaps, default=0.0),
        "largest_difference": max(differences),
        "greedy_that_differ": sum(
            one != two for one, two in zip(stock["greedy"], ours["greedy"], strict=True)
        ),
    }


def distinct_tokens(lm: PrefixLM, tasks: dict[str, Any]) -> int:
    """Tokens of a case, each prefix counted once: what no engine can do without."""
    pairs = [instance.args for task in tasks.values() for instance in task.instances]
    inputs = distinct_inputs(tokens.encode_pairs(TokenStore(lm.tokenizer), pairs), lm.max_length)
    rows = sorted(inputs, key=lambda each: each.tokens.astype(">i4").tobytes())
    shared = sum(first_differing(one.tokens, two.tokens) for one, two in itertools.pairwise(rows))
    return sum(len(each.tokens) for each in rows) - shared


def peak_rate(lm: PrefixLM) -> float:
    """Tokens a second of the blocks alone, at the best of a few batches."""
    best = 0.0
    for rows, length in ((16, 256), (64, 128), (64, 256), (32, 1024)) if GPU else ((16, 256),):
        tokens = [np.full(length, 5, np.int64)] * rows
        for _ in range(3):
            clock = Clock()
            clock.of("model", lm._continued)(tokens, None, [0])  # noqa: SLF001
            best = max(best, rows * length / clock.seconds["model"])
    return best
