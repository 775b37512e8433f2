"""Twins at tier full under a run that stops when decided, and an engine of planted answers.

The engine writes records of answers that it was told, under the keys that were planned, and notes
which jobs it was given at each look.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import made_up_records as records
import numpy as np
from own_manifests import PLACE, manifest_of, printed, save

from repro.environment import machine
from repro.schema.jobs import EvaluateJob
from repro.store import keys, run_file
from runner.evaluation import data as question_data
from runner.local import Work

if TYPE_CHECKING:
    from repro.store.run_file import RunFile

SUBJECT = "abstract_algebra"
MODELS = ("mamba-twin", "gpt-neox-twin")
LOOKS = (
    ("batch-16", "other-kernel", "batch-8"),
    ("batch-32", "batch-4"),
    ("ascending", "other-kernel-8"),
)


def manifest(
    folder: Path,
    values: dict[str, str],
    name: str = "ours",
    *,
    half: str = "float16",
    scored: bool = True,
) -> str:
    """Twins at tier full, under the standard settings: a divergence of each on 100 questions.

    And a score, of which nothing is decided: with one in a manifest FP32 is not screened.
    """

    def cell(model: str) -> dict[str, Any]:
        measure = {"kind": "divergence", "checkpoint": model, "dtype": half}
        measure |= {"reference": "float32", "input_rounding": "0.01"}
        said = {"id": model, "statement": "it moves", "quote": "moves", "place": PLACE}
        return {**said, "depends_on": [], "kind": "cell", "published": model, "measure": measure}

    group = {
        "kind": "evaluation",
        "id": "mmlu",
        "checkpoints": list(values),
        "dtypes": ["float32", half],
        "task": "mmlu",
        "shots": [0],
        "tiers": {"full": {"subjects": [SUBJECT], "rule": "all"}},
    }
    asked = {"kind": "score", "checkpoint": next(iter(values)), "task": "mmlu", "shots": 0}
    asked |= {"metric": "accuracy", "dtype": half, "left_open": ["prompt"]}
    score = {**cell(next(iter(values))), "id": "score", "published": "score", "measure": asked}
    numbers = [{**printed(m, text), "unit": "percentage points"} for m, text in values.items()]
    claims = [cell(each) for each in values]
    if scored:
        numbers.append(printed("score", "30.0"))
        claims.append(score)
    made = manifest_of(name, published=numbers, settings="standard", jobs=[group], claims=claims)
    return str(save(folder, made))


def slots_of(model: str, *looks: int) -> set[str]:
    every = [name for look in looks for name in LOOKS[look - 1]]
    return {f"{model}.{dtype}.{name}" for dtype in ("float32", "float16") for name in every}


class Planted:
    """An engine that is told how many of 100 answers float16 loses, by model and setting."""

    def __init__(self, lost: dict[str, dict[str, int]], wheel: Path) -> None:
        self.lost, self.given = lost, list[set[str]]()
        self.ranks = list[set[int]]()
        self.stop_after: int | None = None
        self.run_files: list[RunFile] = []
        rows = question_data.mmlu_dataset(wheel, SUBJECT)["test"]
        self.gold = np.array([row["answer"] for row in rows])

    @staticmethod
    def machine() -> machine.Environment:
        return machine.capture()

    def execute(self, work: Work) -> dict[str, str]:
        self.given.append({each.slot.id for each in work.jobs.values()})
        self.ranks.append({each.rank for each in work.jobs.values()})
        self.run_files += run_file.read(work.store.root)[0].values()
        for number, (key, planned) in enumerate(sorted(work.jobs.items())):
            if number == self.stop_after:
                raise KeyboardInterrupt
            job = planned.slot.job
            assert isinstance(job, EvaluateJob)
            lost = 0
            if job.dtype == "float16":
                lost = self.lost[job.checkpoint].get(str(planned.slot.setting), 0)
            assert self.save(work, planned, np.arange(100) < 90 - lost) == key
        return {}

    def save(self, work: Work, planned: Any, right: np.ndarray[Any, Any]) -> str:
        """Write the record of an evaluation that answered these questions right; its key."""
        job = planned.slot.job
        letters = np.where(right, self.gold, (self.gold + 1) % 4)
        number = [name for look in LOOKS for name in look].index(str(planned.slot.setting))
        scores = np.full((100, 4), -5.0 - number / 64 - (job.dtype == "float16") / 4)
        scores[np.arange(100), letters] = -1.0
        arrays = {
            "subject": np.zeros(100, np.int64),
            "question": np.arange(100),
            "shots0/log_likelihood": scores,
            "shots0/prediction": letters.astype(np.int64),
            "shots0/gold": self.gold.astype(np.int64),
        }
        inputs = {n: sha for one in planned.inputs.values() for n, sha in one.files.items()}
        kernel = {"attention": job.setting.attention_half, "mamba_scan": job.setting.mamba_path}
        return records.save_record(
            work.store, job, arrays, work.machine,
            inputs=inputs, code=keys.code_of(job.kind), path=kernel, screened=True,
        )  # fmt: skip
