"""HellaSwag, PIQA, ARC, WinoGrande and LAMBADA as lm-eval 0.4.2's own tasks, from local data.

Prompts, process_docs, few-shot sampler, choices and metrics are lm-eval's: its YAML
files are loaded by its own loader into its own `ConfigurableTask`. Replaced is
`download`; and HellaSwag's training rows, which stand in the data wheel as process_docs
leaves them, do not go through it again: it is not idempotent.

The sampler draws the examples of one question after the other from one generator, which
lm-eval 0.4.2 seeds with 1234 where the task is made; no argument of `simple_evaluate`
reaches it. `restart_sampler` puts it back to that state, or to another seed.

Reference: paper v2, Section 5.2, Appendices D and F (lm-eval 0.4.2).

Not covered: fetching from the hub; a user brings the wheel, or LAMBADA's file.
"""

import functools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets

from repro.errors import BadInputError, Problem
from runner import benchmark_data
from runner.lm_eval_offline import import_lm_eval
from runner.rendered_once import RenderedOnce

import_lm_eval()  # the imports below fail offline without it

import lm_eval.tasks  # noqa: E402
from lm_eval.utils import load_yaml_config  # noqa: E402

FILES = {
    "hellaswag": "hellaswag/hellaswag.yaml",
    "piqa": "piqa/piqa.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "winogrande": "winogrande/default.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
}
"""lm-eval's own description of each task."""

SEED = 1234
"""What lm-eval 0.4.2 seeds its few-shot sampler with."""


class LocalTask(RenderedOnce):
    """One of lm-eval's tasks, its rows read from a local file."""

    def __init__(self, config: dict[str, Any], source: Path) -> None:
        self._source = source
        super().__init__(config)

    def download(self, dataset_kwargs: dict[str, Any] | None = None) -> None:
        """Read the task's splits; nothing is downloaded."""
        del dataset_kwargs
        self.dataset = benchmark_data.dataset(self.config.task, self._source)

    @functools.cached_property
    def eval_docs(self) -> datasets.Dataset:
        """As lm-eval has it, which runs process_docs over the split at every look."""
        return super().eval_docs

    def training_docs(self) -> Any:  # noqa: ANN401 - a datasets.Dataset, or None
        """As lm-eval has it, save for rows that process_docs has already made."""
        if self.config.task == "hellaswag":
            return self.dataset[self.config.training_split]
        return super().training_docs()


@functools.cache
def build(task: str, source: Path) -> LocalTask:
    """lm-eval's task of a name, made once: HellaSwag's rows take ten seconds of one core.

    Whoever runs it sets its number of examples and calls `restart_sampler` first.

    Args:
        task: One of `FILES`.
        source: The data wheel, or LAMBADA's file.

    Raises:
        BadInputError: there is no such task here, or the file cannot be used.
    """
    if task not in FILES:
        message = "no such benchmark"
        raise BadInputError(message, [Problem("task", task, f"one of {', '.join(sorted(FILES))}")])
    path = Path(lm_eval.tasks.__file__).parent / FILES[task]
    with without_bars():
        return LocalTask(load_yaml_config(str(path), mode="full"), source)


def restart_sampler(task: LocalTask, seed: int) -> None:
    """Let a task draw its examples from the beginning, as one that has just been made."""
    task.sampler.rnd = random.Random(seed)  # noqa: S311 - lm-eval's own choice


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep process_docs, a `Dataset.map`, from drawing progress bars."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
