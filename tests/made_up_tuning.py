"""A made-up manifest of tuned models with records, in which we choose how many answers are right.

Every benchmark has 100 questions, so an answer is a point: of 2 choices each in WinoGrande, of 4 in
the others, where the last question has 3. MMLU has the 65 of `made_up_records`. The first answers
are the right ones. Of seven settings the last two ran on other kernels.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
from job_groups import RECIPE, arms_of

from repro import fileio
from repro.schema.catalog import Benchmark
from repro.schema.groups import Slot
from repro.schema.jobs import BenchmarkJob, EvaluateJob, ModelJob, Tier, TuningJob
from repro.schema.manifest import Manifest
from repro.schema.slots import slots
from repro.schema.tuned_slots import PRETRAINED
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import MODEL, Store
from verify.evidence import Evidence

TASKS = ("hellaswag", "piqa", "arc_easy", "arc_challenge", "winogrande")
WORDS = "lambada_openai"
QUESTIONS = 100
CHOICES = 4
ROWS = 8
"""Of the instruction data."""
SEEDS = (42, 43, 44, 45, 46, 47, 48)
BATCHES = {"batch-4": 4, "batch-8": 8, "batch-16": 16, "batch-32": 32, "batch-64": 64}
OTHER_KERNEL = {"other-kernel": 16, "other-kernel-8": 8}
"""Settings with another attention and another scan."""
SETTINGS = (*BATCHES, *OTHER_KERNEL)
PLACE = {"section": "5.1"}
TENSORS = ("layers.0.in_proj.lora_A", "layers.0.x_proj.lora_A", "layers.1.x_proj.lora_A")

Right = Callable[[str, str, int, str, int], int]
"""Checkpoint, arm, number of the setting, task and shots to the number of right answers; a number
below 0 is of the last answers instead of the first."""


def gold_of(task: str) -> list[int]:
    """Gold answers of a made-up benchmark."""
    return [(7 * row + len(task)) % _answers(task) for row in range(QUESTIONS)]


def choices_of(task: str) -> int:
    """Choices of a made-up benchmark's questions."""
    return 2 if task == "winogrande" else CHOICES


def _answers(task: str) -> int:
    """Choices that are ever right or predicted: the last question has no fourth."""
    return min(choices_of(task), CHOICES - 1)


def datasets() -> dict[str, Any]:
    """The catalog's entries, with what a verifier reads of them."""
    benchmarks = {
        task: Benchmark.model_construct(
            output="loglikelihood" if task == WORDS else "multiple_choice",
            metrics=("accuracy",) if task == "winogrande" else ("accuracy", "accuracy_norm"),
            questions=QUESTIONS,
            gold_sha256=fileio.digest_of_data(gold_of(task)),
        )
        for task in (*TASKS, WORDS)
    }
    return {"mmlu": records.dataset(), **benchmarks}


# -----------------------------------------------------------------------------
# The manifest


def group(
    checkpoints: tuple[str, ...], arms: tuple[str, ...], tasks: tuple[str, ...], **changes: Any
) -> dict[str, Any]:
    """A tuning group, as plain data; smoke runs a twin in the place of every mamba."""
    shots = [0, 5] if tasks == ("mmlu",) else [0, 1, 3, 5]
    tier = {
        "settings": list(SETTINGS),
        "seeds": list(SEEDS),
        "precisions": ["float32", "float16", "bfloat16"],
        "tasks": list(tasks),
        "dtypes": ["float32", "float16", "bfloat16"],
        "subjects": ["arithmetic", "geometry"] if "mmlu" in tasks else [],
        "questions": None,
        "smaller": None,
    }
    return {
        "kind": "tuning",
        "id": "tuned",
        "checkpoints": [
            {"checkpoint": name, "learning_rate": 1e-4, "rank": 2} for name in checkpoints
        ],
        "arms": arms_of(arms),
        "pretrained": True,
        "recipe": {**RECIPE, "rows": ROWS, "epochs": 2, "batch_size": 3},
        "left_open": {"loss": "not given"},
        "questions": [
            {
                "task": task,
                "shots": [0] if task == WORDS else shots,
                "dtypes": ["float32"],
                "of": "every-arm",
            }
            for task in tasks
        ],
        "tiers": {
            "smoke": {**tier, "stand_ins": {"mamba": "twin"}, "only_stand_ins": True},
            "full": {**tier, "stand_ins": {}, "only_stand_ins": False},
        },
        **changes,
    }


def settings() -> list[dict[str, Any]]:
    """Seven over two kernels, as plain data."""
    found = list[dict[str, Any]]()
    for name, size in (BATCHES | OTHER_KERNEL).items():
        other = name in OTHER_KERNEL
        attention = "sdpa" if other else "eager"
        found.append(
            {
                "id": name,
                "batch_size": size,
                "order": "length-descending",
                "attention_float32": attention,
                "attention_half": attention,
                "mamba_path": "kernels" if other else "slow",
            }
        )
    return found


def printed(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "text": text, "unit": "points", "place": PLACE}


def claim(kind: str, **fields: Any) -> dict[str, Any]:
    """A claim called `it`, unless it says otherwise."""
    return {
        "id": "it",
        "kind": kind,
        "statement": "a sentence",
        "quote": "a sentence",
        "place": PLACE,
        "depends_on": [],
        **fields,
    }


def cell(measure: dict[str, Any], margin: str, **fields: Any) -> dict[str, Any]:
    """A cell whose published value is called `number`."""
    whole = {"value": margin, "origin": "made up"}
    return claim("cell", published="number", measure=measure, margin=whole, **fields)


def manifest(groups: list[dict[str, Any]], claims: list[dict[str, Any]], **texts: str) -> Manifest:
    """The made-up manifest; `texts` are published values by name."""
    data = records.manifest_data(
        settings=settings(),
        jobs=groups,
        claims=claims,
        published=[printed(name, text) for name, text in texts.items()],
    )
    return Manifest.model_validate_json(fileio.canonical(data))


# -----------------------------------------------------------------------------
# Records


def run(
    root: Path,
    claimed: Manifest,
    right: Right,
    tier: Tier = "full",
    change: records.Change | None = None,
) -> Evidence:
    """Write run file and records of a whole run; `change` may alter any record before."""
    store, jobs, missing = Store(root), {}, {}
    for slot in slots(claimed, tier, records.checkpoints()):
        if slot.job is None:
            missing[slot.id] = slot.reason
        else:
            jobs[slot.id] = _save(store, slot, right, change)
    written = RunFile(
        schema_version=2,
        manifest=claimed.id,
        file=f"{claimed.id}.json",
        tier=tier,
        started="2026-01-01T00:00:00+00:00",
        substitutions={},
        jobs=jobs,
        missing=missing,
        committed=commitments_of(claimed),
    )
    return Evidence(claimed, written, store, records.checkpoints(), datasets())


def without(evidence: Evidence, *parts: str) -> Evidence:
    """The same, of a run that left out every slot with one of these in its name."""
    run = evidence.run
    jobs = {n: key for n, key in run.jobs.items() if not any(part in n for part in parts)}
    kept = run.model_copy(update={"jobs": jobs})
    return Evidence(
        evidence.manifest, kept, evidence.store, records.checkpoints(), evidence.datasets
    )


def made(job: TuningJob) -> dict[str, str]:
    """Files of the weights that a tuning makes."""
    return {"adapter_model.safetensors": fileio.digest_of_data(job)}


def _save(store: Store, slot: Slot, right: Right, change: records.Change | None) -> str:
    job, machine = slot.job, records.this_machine()
    if isinstance(job, TuningJob):
        arrays, values = tuning(job)
        more: dict[str, Any] = {"files": made(job), "values": values}

        def counted(found: dict[str, Any], fields: dict[str, Any]) -> None:
            if change:
                change(found, fields)
            bad = int((~np.isfinite(found["loss"])).sum())
            fields["values"] = {"non_finite_steps": bad, **fields["values"]}

        return records.save_record(store, job, arrays, machine, counted, **more)
    assert isinstance(job, ModelJob)
    inputs = {"checkpoint/model.safetensors": "1" * 64}
    arm = PRETRAINED
    if job.tuned:
        tuned = TuningJob(kind="tuning", checkpoint=job.checkpoint, recipe=job.tuned)
        inputs |= {f"{MODEL}/{name}": sha for name, sha in made(tuned).items()}
        arm = f"{job.tuned.method}.{job.tuned.precision}"
    setting = SETTINGS.index(slot.setting or "")

    def answers(shots: int) -> int:
        return right(job.checkpoint, arm, setting, job.task, shots)

    def on_its_kernels(found: dict[str, Any], fields: dict[str, Any]) -> None:
        live = job.tuned is not None and job.tuned.mamba_path == "live"
        half = job.dtype != "float32"
        fields["path"] |= {
            "attention": job.setting.attention_half if half else job.setting.attention_float32,
            "mamba_scan": "live" if live else job.setting.mamba_path,
        }
        if change:
            change(found, fields)

    if isinstance(job, EvaluateJob):
        arrays = mmlu(job, answers, setting)
        return records.save_record(store, job, arrays, machine, on_its_kernels, inputs=inputs)
    arrays, values = benchmark(job, answers, setting)
    more = {"inputs": inputs, "values": values}
    return records.save_record(store, job, arrays, machine, on_its_kernels, **more)


def tuning(job: TuningJob) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of a tuning of 8 rows."""
    steps = math.ceil(ROWS / job.recipe.batch_size) * job.recipe.epochs
    fall = np.cos(np.linspace(0, np.pi / 2, steps, endpoint=False))
    arrays = {
        "loss": np.linspace(3, 2, steps) + len(job.recipe.precision) / 64,  # no two are alike
        "gradient_norm": np.ones(steps),
        "learning_rate": job.recipe.learning_rate * fall,
        "row_order": np.random.default_rng(job.recipe.seed).permutation(ROWS),
        "gradient_arrived": np.ones(len(TENSORS), dtype=np.uint8),
        "moved": np.ones(len(TENSORS), dtype=np.uint8),
    }
    names = fileio.canonical(list(TENSORS)).decode()
    return arrays, {"steps": steps, "trainable_tensors": names}


def mmlu(job: EvaluateJob, right: Callable[[int], int], setting: int) -> dict[str, Any]:
    """Arrays of an evaluation, different to the last bit under each setting."""
    arrays = records.answers(job)
    for shots in job.shots:
        gold = arrays[f"shots{shots}/gold"]
        letters = np.where(_good(right(shots), len(gold)), gold, (gold + 1) % 4)
        arrays[f"shots{shots}/log_likelihood"] = _scores(letters, 4, setting)
        arrays[f"shots{shots}/prediction"] = letters
    return arrays


def benchmark(
    job: BenchmarkJob, right: Callable[[int], int], setting: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of a benchmark; of LAMBADA a right word has -1 nat, another -3."""
    arrays: dict[str, Any] = {}
    questions = job.questions or QUESTIONS
    for shots in job.shots:
        good = _good(right(shots), questions)
        found: dict[str, Any] = {"tokens": np.full(questions, 9)}
        if job.task == WORDS:
            found["greedy"] = good.astype(np.uint8)
            found["log_likelihood"] = np.where(good, -1.0, -3.0)[:, None] - setting / 1024
        else:
            gold = np.array(gold_of(job.task)[:questions])
            predicted = np.where(good, gold, (gold + 1) % _answers(job.task))
            choices = choices_of(job.task)
            found["log_likelihood"] = _scores(predicted, choices, setting)
            found["log_likelihood"][-1, CHOICES - 1 :] = np.nan
            found["characters"] = np.full((questions, choices), 10)
            found["characters"][-1, CHOICES - 1 :] = 0
            found |= {"gold": gold, "prediction": predicted, "prediction_normalised": predicted}
        arrays |= {f"shots{shots}/{name}": array for name, array in found.items()}
    return arrays, values_of(job.task, arrays)


def _good(right: int, questions: int) -> Any:
    """Which answers are right."""
    places = np.arange(questions)
    return places < right if right >= 0 else places >= questions + right


def _scores(best: Any, choices: int, setting: int) -> Any:
    scores = np.full((len(best), choices), -5.0 - setting / 1024)
    scores[np.arange(len(best)), best] = -1.0
    return scores


def values_of(task: str, arrays: dict[str, Any]) -> dict[str, float | int]:
    """What a benchmark's record says of its arrays, counted question by question."""
    values: dict[str, float | int] = {}
    for shots in sorted({int(name.split("/")[0][5:]) for name in arrays}):
        found = {
            name.split("/")[1]: array.tolist()
            for name, array in arrays.items()
            if name.startswith(f"shots{shots}/")
        }
        rows = found["log_likelihood"]
        lengths = found.get("characters", [[1]] * len(rows))
        there = [
            [score for score, length in zip(*pair, strict=True) if length]
            for pair in zip(rows, lengths, strict=True)
        ]
        at = f"shots{shots}"
        values[f"{at}/non_finite"] = sum(not all(map(math.isfinite, row)) for row in there)
        if task == WORDS:
            values[f"{at}/accuracy"] = sum(found["greedy"]) / len(rows)
            if not values[f"{at}/non_finite"]:
                values[f"{at}/perplexity"] = math.exp(-sum(row[0] for row in rows) / len(rows))
            continue
        values[f"{at}/ties"] = sum(row.count(max(row)) > 1 for row in there)
        names = {"accuracy": "prediction", "accuracy_norm": "prediction_normalised"}
        for name, predicted in names.items():
            pairs = zip(found[predicted], found["gold"], strict=True)
            values[f"{at}/{name}"] = sum(a == b for a, b in pairs) / len(rows)
    return values
