"""lm-eval's logged samples, and the results beside them, read as data.

lm-eval writes one file a task with `--log_samples`, and `results.json` (0.4.2) or
`results_DATE.json` (0.4.13) beside it, which says how they were made and is read if it is there.
0.4.2 writes one array whose log-likelihoods are numbers, 0.4.13 a line a question in which they
are strings. Each sample is held to the scores that lm-eval gave it. No text of a question is kept.

Reference: lm-eval 0.4.2, `__main__.cli_evaluate`; 0.4.13, `EvaluationTracker`.
Not covered: tasks that generate text; several filters of one task.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro import json_text
from repro.errors import BadInputError, Problem
from repro.inputs import foreign_answers
from repro.inputs.foreign_answers import (
    Answers,
    Question,
    Source,
    Tasks,
    WrongFileError,
    best_choice,
    has_words,
    in_order,
    names_of,
    task_of,
    text_of,
)
from repro.text import known_names

_SCORE = 1e-9
"""Two ways to write a score; an answer makes 1."""


def read(paths: Sequence[Path], tasks: Tasks, shots: int | None) -> list[Source]:
    """Read files of answers; results files among them are read with what lies beside them.

    Args:
        paths: Files.
        tasks: Question sets that the catalog knows.
        shots: Number of solved examples, where files do not say it.

    Raises:
        BadInputError: with every problem of every file.
    """
    problems: list[Problem] = []
    found: list[Source] = []
    for path in paths:
        try:
            text = text_of(path)
            if _is_results(path):
                _results(path)  # it is read again with its samples
            elif path.suffix.lower() == ".csv":
                found.append(foreign_answers.csv_source(path, text, tasks, shots))
            else:
                found.append(_samples_source(path, text, tasks, shots))
        except WrongFileError as error:
            problems.append(error.problem)
    if not (found or problems):
        expected = "files of `lm_eval --log_samples`, or a CSV"
        problems.append(Problem(", ".join(map(str, paths)), "results without samples", expected))
    if problems:
        raise BadInputError("cannot be imported; nothing was written", problems)
    return found


_NEW = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
_RESULTS = re.compile(r"results(_.*)?\.json")


def _is_results(path: Path) -> bool:
    return _RESULTS.fullmatch(path.name) is not None


def _samples_source(path: Path, text: str, tasks: Tasks, shots: int | None) -> Source:
    known = names_of(tasks)
    new = _NEW.fullmatch(path.name)
    # 0.4.2 puts the arguments of the model before the name of the task.
    ends = [name for name in known if path.stem == name or path.stem.endswith(f"_{name}")]
    name = new["task"] if new else max(ends, key=len, default=path.stem)
    task = task_of(name, tasks)
    if task is None:
        expected = f"…_TASK.jsonl or samples_TASK_DATE.jsonl, TASK {known_names(name, known)}"
        raise WrongFileError(path, f"a task {name!r} that the catalog does not know", expected)
    results = path.parent / (f"results_{new['date']}.json" if new else "results.json")
    said = _results(results) if results.is_file() else {}
    asked = _shots_of(said, name, shots)
    if asked is None:
        where = f"no number of solved examples, and no {results.name} beside it that says it"
        raise WrongFileError(path, where, "--shots N")
    words = has_words(task[0], tasks)
    questions = in_order(path, _samples(path, text, task[0], words=words))
    _check_count(path, len(questions), said, name)
    array = text.lstrip()[:1] == "["
    version = str(said.get("lm_eval_version") or ("0.4.2" if array else "0.4.13"))
    layout = f"lm-eval {version}" if "lm_eval_version" in said else f"lm-eval, as {version} writes"
    return Source(
        path=path,
        layout=layout,
        answers=(Answers(*task, asked, questions),),
        said=dict(_said(said)),
        packages=dict(_packages(said)),
        results=results if said else None,
    )


def _samples(path: Path, text: str, task: str, *, words: bool) -> Iterator[Question]:
    number, expected = 0, "what `lm_eval --log_samples` wrote, to its end"
    for sample in _values(path, text, expected):
        where = f"{path}: sample {number}"
        if isinstance(sample, ValueError):
            raise WrongFileError(where, json_text.explain_error(sample), expected) from sample
        try:
            yield _question(sample, task, words=words)
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            said = f"no {error.args[0]}" if isinstance(error, KeyError) else _reason(error)
            expected = "doc_id, target, arguments and filtered_resps of a task with log-likelihoods"
            raise WrongFileError(where, said, expected) from error
        number += 1
    if not number:
        raise WrongFileError(path, "no sample", "one for each question")


def _values(path: Path, text: str, expected: str) -> Iterator[Any]:
    try:
        yield from json_text.records(io.StringIO(text, newline="\n"))
    except ValueError as error:
        raise WrongFileError(path, json_text.explain_error(error), expected) from error


class _SampleError(ValueError):
    """A reason that names no text of a question."""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _SampleError) else "a field of another form"


def _question(sample: Mapping[str, Any], task: str, *, words: bool) -> Question:
    """One logged sample; held to the scores that lm-eval gave it."""
    row = sample["doc_id"]
    if type(row) is not int or row < 0:
        raise _SampleError("a doc_id that is no number from 0 on")
    pairs = [(_number(value), _flag(greedy)) for value, greedy in sample["filtered_resps"]]
    scores = tuple(value for value, _ in pairs)
    asked = [_argument(each) for each in _arguments(sample.get("arguments", []))]
    if not scores or (asked and len(asked) != len(scores)):
        raise _SampleError("another number of requests than of responses")
    if words:
        found = Question(row, None, None, scores, (), pairs[0][1], asked)
        _hold(sample, "acc", right=pairs[0][1])
        return found
    gold = _gold(sample, task)
    if not 0 <= gold < len(scores):
        raise _SampleError("a right answer that is no choice")
    lengths = _lengths(sample, asked, task)
    _hold(sample, "acc", right=best_choice(scores) == gold)
    if lengths:
        over = [score / max(length, 1) for score, length in zip(scores, lengths, strict=True)]
        _hold(sample, "acc_norm", right=best_choice(over) == gold)
    kept = None if task == "mmlu" else asked  # ours of MMLU name rows, no prompts
    return Question(row, gold, None, scores, lengths, None, kept)


def _hold(sample: Mapping[str, Any], metric: str, *, right: bool) -> None:
    said = sample.get(metric)
    if said is not None and abs(float(said) - right) > _SCORE:
        raise _SampleError(f"{metric} {float(said):g}, its log-likelihoods give {int(right)}")


def _number(value: Any) -> float:  # noqa: ANN401  # any JSON
    if isinstance(value, bool):
        raise _SampleError("a log-likelihood that is no number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise _SampleError("a log-likelihood that is no number") from None


def _flag(value: Any) -> bool:  # noqa: ANN401  # any JSON
    if value not in (True, False, "True", "False"):
        raise _SampleError("a response that is neither greedy nor not")
    return value in (True, "True")


def _arguments(said: Any) -> Iterable[Any]:  # noqa: ANN401  # any JSON
    return said.values() if isinstance(said, Mapping) else said


def _argument(said: Any) -> list[str]:  # noqa: ANN401  # any JSON
    """Prompt and continuation of one request."""
    return [str(each) for each in _arguments(said)]


def _gold(sample: Mapping[str, Any], task: str) -> int:
    if task == "winogrande":  # its target is the end of the sentence
        return ("1", "2").index(sample["doc"]["answer"])
    target = sample["target"]
    if not re.fullmatch(r"\d+", str(target)):
        raise _SampleError("a target that is no choice")
    return int(target)


def _lengths(sample: Mapping[str, Any], asked: list[list[str]], task: str) -> tuple[int, ...]:
    """Characters of each choice as lm-eval counts them."""
    if task == "mmlu":
        return ()
    if task == "winogrande":  # its choices are two beginnings, and not what is scored
        start = len(sample["doc"]["sentence"].split("_", 1)[0])
        return tuple(start + len(sample["doc"][name]) for name in ("option1", "option2"))
    if not asked:
        raise KeyError("arguments")
    return tuple(len(request[1].removeprefix(" ")) for request in asked)


def _results(path: Path) -> dict[str, Any]:
    try:
        found = json_text.load(path)
    except (OSError, ValueError) as error:
        why = json_text.explain_error(error)
        raise WrongFileError(path, why, "what lm-eval wrote beside its samples") from error
    if not (isinstance(found, dict) and isinstance(found.get("config"), dict)):
        raise WrongFileError(path, "no `config`", "what lm-eval wrote beside its samples")
    return found


def _shots_of(results: Mapping[str, Any], task: str, given: int | None) -> int | None:
    several = results.get("n-shot")
    said = several.get(task) if isinstance(several, dict) else None
    return said if type(said) is int and said >= 0 else given


def _check_count(path: Path, count: int, results: Mapping[str, Any], task: str) -> None:
    """That the file has as many questions as the results were made of, where they say it."""
    several = results.get("n-samples")
    said = several.get(task) if isinstance(several, dict) else None
    made = said.get("effective") if isinstance(said, dict) else None
    if type(made) is int and made != count:
        raise WrongFileError(path, f"{count} questions", f"{made}, which the results were made of")


def _said(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings that a results file says."""
    config = results.get("config", {})
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    arguments = arguments if isinstance(arguments, dict) else {}
    dtype = str(config.get("model_dtype") or arguments.get("dtype") or "")
    if (name := dtype.removeprefix("torch.")) in ("float32", "float16", "bfloat16"):
        yield "dtype", name
    if re.fullmatch(r"\d+", str(config.get("batch_size"))):
        yield "batch_size", str(config["batch_size"])
    if type(config.get("fewshot_seed")) is int:
        yield "seed", str(config["fewshot_seed"])
    if isinstance(limit := config.get("limit"), int | float):
        yield "limit", f"{limit:g}"


def _packages(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(version := results.get("lm_eval_version"), str):
        yield "lm-eval", version
    if isinstance(version := results.get("transformers_version"), str):
        yield "transformers", version
    said = re.search(r"^PyTorch version: (\S+)", str(results.get("pretty_env_info")), re.MULTILINE)
    if said:
        yield "torch", said[1].partition("+")[0]
