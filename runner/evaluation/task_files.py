"""lm-eval 0.4.2's own descriptions of its tasks, its YAML files, read as data.

A file says which data set a task asks, how a row becomes a prompt and its choices, and what is
scored. Where it calls Python (`!function`), lm-eval would import that code; here nothing is, and
such a task is refused by name, as is one that a record has no place for. Of 1,957 tasks, 1,003 of
multiple choice and 20 of log-likelihood can be asked.

Not covered: groups of tasks, whose members can be named one by one.
"""

import functools
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from repro.errors import BadInputError, CannotRunError, Problem
from repro.text import known_names

FUNCTIONS_READ = ("hellaswag", "winogrande")
"""Tasks that call functions of lm-eval which were read here: they make strings of a row."""

METRICS = {
    "acc": "accuracy",
    "acc_norm": "accuracy_norm",
    "perplexity": "perplexity",
}
"""lm-eval's name to the catalog's; what else a task reports is left out."""

_OUTPUTS = ("multiple_choice", "loglikelihood")
_NAMED = re.compile(rb"""^["']?task["']?:[ \t]*["']?([^\s"'\[{#]+)""", re.MULTILINE)


class _Function(str):
    """A Python function that a file names; not imported."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML as plain data."""


_Loader.add_constructor("!function", lambda loader, node: _Function(loader.construct_scalar(node)))


@dataclass(frozen=True)
class TaskFile:
    """One task as its YAML describes it, what the file includes among it."""

    name: str
    path: Path
    says: Mapping[str, Any]

    @property
    def output(self) -> str:
        """What is asked of a model, `Output` of the catalog where it can be asked."""
        return str(self.says.get("output_type", "generate_until"))

    @property
    def metrics(self) -> tuple[str, ...]:
        """What can be claimed of it, as the catalog says it."""
        named = (each.get("metric") for each in self.says.get("metric_list") or ())
        return tuple(METRICS[each] for each in named if each in METRICS)

    @property
    def splits(self) -> tuple[str, str]:
        """The split that is asked, and the one that solved examples are drawn from."""
        says = self.says
        asked = says.get("test_split") or says["validation_split"]
        rule = (says.get(f"{each}_split") for each in ("fewshot", "training", "validation"))
        return asked, next(filter(None, rule), asked)

    def problems(self) -> Iterator[Problem]:
        """Why it cannot be asked here; none where it can."""
        at, says = f"{self.name} of lm-eval 0.4.2", self.says
        calls = [f"{key} ({one})" for key, each in says.items() for one in _functions(each)]
        if calls and self.name not in FUNCTIONS_READ:
            expected = "a task whose YAML calls no function"
            yield Problem(at, f"Python: {', '.join(calls)}", expected)
        if self.output not in _OUTPUTS:
            yield Problem(at, f"output_type {self.output}", " or ".join(_OUTPUTS))
        metrics = [each.get("metric") for each in says.get("metric_list") or ()]
        if not self.metrics:
            yield Problem(at, f"the metrics {metrics}", f"one of {', '.join(METRICS)}")
        if "acc_mutual_info" in metrics:
            yield Problem(at, "acc_mutual_info, a second request a choice", "one request a choice")
        for key in ("use_prompt", "filter_list"):
            if says.get(key):
                yield Problem(at, key, "prompts and answers as they are")
        if (says.get("repeats") or 1) != 1:
            yield Problem(at, f"repeats {says['repeats']}", "each question once")
        if not (says.get("test_split") or says.get("validation_split")):
            yield Problem(at, "no test or validation split", "a split that is asked")


def _functions(value: object) -> Iterator[str]:
    """Functions that something in a file names, at any depth."""
    if isinstance(value, _Function):
        yield str(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _functions(each)
    elif isinstance(value, list):
        for each in value:
            yield from _functions(each)


def task_file(name: str) -> TaskFile:
    """A task that can be asked.

    Raises:
        BadInputError: lm-eval has no such task, or it cannot be asked here, with every reason.
        CannotRunError: lm-eval is not installed.
    """
    known = _index()
    if name not in known:
        message = "no such task of lm-eval 0.4.2"
        raise BadInputError(message, [Problem("task", repr(name), known_names(name, known))])
    found = TaskFile(name, known[name], _read(known[name]))
    if problems := list(found.problems()):
        message = f"the task {name} cannot be asked here"
        raise BadInputError(message, problems)
    return found


def folder() -> Path:
    """Where lm-eval keeps them; looked up without importing it.

    Raises:
        CannotRunError: it is not installed.
    """
    found = importlib.util.find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        message = "lm-eval is not installed; pinned-requirements.txt has it"
        raise CannotRunError(message)
    return Path(next(iter(found.submodule_search_locations))) / "tasks"


@functools.cache
def _index() -> Mapping[str, Path]:
    """Every single task by name; the first of two files of one name, as sorted."""
    found: dict[str, Path] = {}
    for path in sorted(folder().rglob("*.yaml")):
        if named := _NAMED.search(path.read_bytes()):
            found.setdefault(named[1].decode(), path)
    return found


def _read(path: Path) -> dict[str, Any]:
    """A file with what it includes, the nearer one last, as `lm_eval.utils.load_yaml_config`."""
    says: dict[str, Any] = yaml.load(path.read_bytes(), _Loader)  # noqa: S506  # a SafeLoader
    included = says.pop("include", [])
    whole: dict[str, Any] = {}
    for each in reversed([included] if isinstance(included, str) else included):
        whole |= _read(path.parent / each)
    return whole | says
