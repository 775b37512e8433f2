"""The catalog's entry of a task, from its rows: what planning and judging know without them.

Sizes let `repro plan` estimate cost, the digest of the right answers lets `repro verify` hold a
record to the data set. No text of a data set is written. Lengths are of lm-eval 0.4.2's own
prompts; that of one solved example is taken over those that its sampler draws for the whole split.
"""

from pathlib import Path
from typing import Any

from repro import fileio
from runner.evaluation import data, task_files, tasks
from runner.evaluation.offline import quiet
from runner.evaluation.task_files import TaskFile
from runner.evaluation.tasks import LocalTask


def describe(task: str, source: Path) -> dict[str, Any]:
    """What an entry says of the questions, whatever file holds them.

    Returns:
        The fields of a `repro.schema.catalog.Benchmark` but for where its data comes from.
        `choices` is the mean a question, rounded; `question_characters` counts prompt and one
        choice; `shot_characters` is 0 where the file has no rows for solved examples.

    Raises:
        BadInputError: the task cannot be asked here, or the file is not its data.
    """
    named = task_files.task_file(task)
    with quiet(), tasks.without_bars(), tasks.templates_compiled_once():
        harness = tasks.build(task, source)
        answers = tasks.answers_of(harness, None, source)
        shown = named.splits[1] in harness.dataset
        plain, longer = (_lengths(harness, shots) if shots <= shown else [] for shots in (0, 1))
    return {
        "output": named.output,
        "metrics": list(named.metrics),
        "questions": len(answers),
        "choices": round(len(plain) / len(answers)),
        "question_characters": round(sum(plain) / len(plain)),
        "shot_characters": round((sum(longer) - sum(plain)) / len(plain)) if longer else 0,
        "gold_sha256": fileio.digest_of_data(_gold(named, source, answers)),
    }


def _gold(task: TaskFile, source: Path, answers: list[tasks.Answer]) -> list[int | str]:
    """Right answers in row order: places of choices, or words."""
    if task.name == data.LAMBADA:
        rows = data.read(task.name, task.splits[0], source)
        return [data.gold(task.name, row) for row in rows]
    if task.output == "loglikelihood":
        return [each.choices[0] for each in answers]
    return [each.right for each in answers]


def _lengths(task: LocalTask, shots: int) -> list[int]:
    """Characters of every request, prompt and choice."""
    task.set_config("num_fewshot", shots)
    tasks.restart_sampler(task, tasks.SEED)
    task.build_all_requests(rank=0, world_size=1)
    return [sum(map(len, request.args)) for request in task.instances]
