"""Models after fine-tuning whose scores are drawn, and what a paper says of them.

Of N questions of each task a model answers a share right that its checkpoint, its arm and the
number of shots give, and a few more or less with every seed. The authors tune once, with a seed of
their own, and print what comes of it. All that is said of shares holds by far or fails by far.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import made_up_records as records
import numpy as np
from job_groups import RECIPE, arms_of
from numpy.typing import NDArray
from planted.claims import Paper, Truth
from planted.entries import SUBJECT, mmlu
from planted.worlds import FAIR, SETTINGS

from repro import fileio
from repro.schema.catalog import Benchmark, Dataset
from repro.schema.groups import Slot
from repro.schema.jobs import EvaluateJob, Job, ModelJob, TuningJob

N = 1_000
"""Questions of each task: one is a tenth of a point."""
OF_A_SEED = 4
"""Answers that turn with the seed of a tuning; as many are won as lost, on average."""
SHOTS = (0, 1, 3, 5)
BENCHMARKS = ("hellaswag", "piqa", "arc_easy", "arc_challenge", "winogrande")
TASKS = ("mmlu", *BENCHMARKS)
MAMBA, PYTHIA = "mamba-0", "pythia-0"
FULL, LORA, BEFORE = "full.float32", "lora-all.bfloat16", "pretrained"
ROWS = 8
TENSORS = ("layers.0.in_proj.lora_A", "layers.0.in_proj.lora_B")

Arrays = dict[str, NDArray[Any]]
Scores = Mapping[tuple[str, str, str, int], int]
"""Right answers by checkpoint, arm, task and shots."""


def share(checkpoint: str, arm: str, task: str, shots: int) -> float:
    """Share of right answers.

    Of MMLU the adapters of the mamba lose 1.5 points, those of the pythia 4. Of the benchmarks
    pretrained models gain 10 % of their score with examples, tuned ones 20 %; the adapters of the
    mamba score 5 points more than its full tuning, those of the pythia 5 less.
    """
    if task == "mmlu":
        lost = {MAMBA: 0.015, PYTHIA: 0.04}[checkpoint] if arm == LORA else 0.0
        return 0.30 + 0.01 * SHOTS.index(shots) - lost
    gained = 0.1 if arm == BEFORE else 0.2
    better = {MAMBA: 0.05, PYTHIA: -0.05}[checkpoint] if arm == LORA else 0.0
    return (0.40 + better) * (1 + gained * (shots > 0))


def draw_scores(rng: np.random.Generator) -> dict[tuple[str, str, str, int], int]:
    """All of one seed."""
    return {
        (checkpoint, arm, task, shots): round(N * share(checkpoint, arm, task, shots))
        + 2 * int(rng.binomial(OF_A_SEED, 0.5))
        - OF_A_SEED
        for checkpoint in (MAMBA, PYTHIA)
        for arm in (FULL, LORA, BEFORE)
        for task in TASKS
        for shots in SHOTS
    }


def draw(seed: int) -> tuple[Paper, list[Scores]]:
    """A paper, and our scores under each setting."""
    rng, paper = np.random.default_rng([1_000, seed]), Paper()
    ours, theirs = [draw_scores(rng) for _ in SETTINGS], draw_scores(rng)
    for each in (_divergences, _scores, _improvements):
        each(paper, theirs)
    return paper, ours


# -----------------------------------------------------------------------------
# What the paper says


def _both(paper: Paper, name: str, kind: str, truth: Truth, **said: Any) -> None:
    paper.claim(f"{name}.{truth}", kind, truth, FAIR[truth], **said)


def _number(paper: Paper, name: str, value: float, off: float, margin: str, **more: Any) -> None:
    """A printed number of one decimal, as drawn and off."""
    unit = more.pop("unit", "percent")
    for truth, shift in (("true", 0.0), ("false", off)):
        published = paper.value(f"{value + shift:.1f}", unit)
        said = {"published": published, "margin": {"value": margin, "origin": "made up"}}
        _both(paper, name, "cell", truth, **said, **more)


def _divergences(paper: Paper, theirs: Scores) -> None:
    """Of MMLU: bars of 1.5 and of 4 points."""
    lost = [theirs[MAMBA, FULL, "mmlu", k] - theirs[MAMBA, LORA, "mmlu", k] for k in SHOTS]
    value = 100 * float(np.mean(np.abs(lost))) / N
    measure = {"kind": "tuned-divergence", "checkpoints": [MAMBA], "methods": ["lora-all"]}
    measure |= {"precision": "bfloat16"}
    _number(paper, "divergence", value, 2.0, "0.7", measure=measure, unit="percentage points")
    bars = {"published": None, "task": "mmlu", "methods": ["lora-all"], "precisions": ["bfloat16"]}
    for name, relation, of, others, above, truth in (
        ("none-above", "none-above", MAMBA, [], "3", "true"),
        ("none-above", "none-above", PYTHIA, [], "2", "false"),
        ("some-above", "some-above", PYTHIA, [], "2", "true"),
        ("some-above", "some-above", MAMBA, [], "3", "false"),
        ("smaller", "smaller", MAMBA, [[PYTHIA]], None, "true"),
        ("smaller", "smaller", PYTHIA, [[MAMBA]], None, "false"),
    ):
        said = {"relation": relation, "checkpoints": [of], "others": others, "above": above}
        _both(paper, f"bars.{name}", "bars", truth, **bars, **said)


def _scores(paper: Paper, theirs: Scores) -> None:
    """A score, and how often the adapters of both models win in two columns: twice."""
    measure = {"kind": "score", "checkpoint": MAMBA, "method": "lora-all", "precision": "bfloat16"}
    measure |= {"task": "hellaswag", "metric": "accuracy"}
    _number(paper, "score", 100 * theirs[MAMBA, LORA, "hellaswag", 0] / N, 5.0, "2.0",
            measure=measure)  # fmt: skip
    columns = [{"task": task, "metric": "accuracy"} for task in ("piqa", "arc_easy")]
    arms = {"checkpoints": [MAMBA, PYTHIA], "left": LORA, "right": FULL, "columns": columns}
    won = sum(
        theirs[each, LORA, task, 0] > theirs[each, FULL, task, 0]
        for each in (MAMBA, PYTHIA)
        for task in ("piqa", "arc_easy")
    )
    for truth, count in (("true", won), ("false", won + 2)):
        numbers = {"published": paper.value(str(count), "comparisons")}
        numbers["out_of"] = paper.value("4", "comparisons")
        _both(paper, "wins", "measured-wins", truth, **numbers, **arms)


def _improvements(paper: Paper, theirs: Scores) -> None:
    """With examples: 20 % of the tuned mamba, 10 % of it before."""

    def of(*several: tuple[str, str]) -> list[dict[str, str]]:
        return [{"checkpoint": name, "arm": arm} for name, arm in several]

    def aipss(checkpoint: str, arm: str) -> float:
        first = {task: theirs[checkpoint, arm, task, 0] for task in BENCHMARKS}
        gains = [
            100 * (theirs[checkpoint, arm, task, k] / first[task] - 1)
            for task in BENCHMARKS
            for k in SHOTS[1:]
        ]
        return float(np.mean(gains))

    tuned, before = (MAMBA, LORA), (MAMBA, BEFORE)
    measure = {"kind": "improvement-ratio", "left": of(tuned), "right": of(before)}
    measure |= {"unit": "relative", "average": "mean-first"}
    ratio = 100 * aipss(*tuned) / aipss(*before)
    _number(paper, "ratio", ratio, 100.0, "40", measure=measure)
    for name, models, others, truth in (
        ("all-positive", [tuned], [], "true"),
        ("none-positive", [before], [], "false"),
        ("highest", [tuned], [before], "true"),
    ):
        said = {"published": None, "relation": name, "of": of(*models), "others": of(*others)}
        _both(paper, f"improvement.{name}", "improvement", truth, shots=[1, 3, 5], **said)


# -----------------------------------------------------------------------------
# Jobs, data and arrays

SEEDS = tuple(range(42, 42 + len(SETTINGS)))


def parts() -> dict[str, Any]:
    """Settings and the job group of the manifest; its recipe leaves nothing open."""
    tier = {
        "settings": [each["id"] for each in SETTINGS],
        "seeds": list(SEEDS),
        "precisions": ["float32", "bfloat16"],
        "tasks": list(TASKS),
        "dtypes": ["float32"],
        "subjects": [SUBJECT],
        "questions": None,
        "smaller": None,
        "stand_ins": {},
        "only_stand_ins": False,
    }
    recipe = {**RECIPE, "rows": ROWS, "epochs": 1, "batch_size": 4}
    asked = {"shots": list(SHOTS), "dtypes": ["float32"], "of": "every-arm"}
    group = {
        "kind": "tuning",
        "id": "tuned",
        "checkpoints": [
            {"checkpoint": name, "learning_rate": 1e-4, "rank": 2} for name in (MAMBA, PYTHIA)
        ],
        "arms": arms_of((FULL, LORA)),
        "pretrained": True,
        "recipe": recipe,
        "left_open": {},
        "questions": [{"task": task, **asked} for task in TASKS],
        "tiers": {"full": tier},
    }
    return {"settings": list(SETTINGS), "jobs": [group]}


def gold_of(task: str) -> NDArray[np.int64]:
    """Right letters or choices, of two in WinoGrande and of four elsewhere."""
    return np.arange(N) * 7 // 3 % (2 if task == "winogrande" else 4)


def datasets() -> dict[str, Dataset | Benchmark]:
    """The catalog's entries, with what a verifier reads of them."""
    found: dict[str, Any] = {
        task: Benchmark.model_construct(
            output="multiple_choice",
            metrics=("accuracy",) if task == "winogrande" else ("accuracy", "accuracy_norm"),
            questions=N,
            gold_sha256=fileio.digest_of_data(gold_of(task).tolist()),
        )
        for task in BENCHMARKS
    }
    return found | {"mmlu": mmlu(gold_of("mmlu"))}


def arrays_by_slot(several: Sequence[Slot], ours: Sequence[Scores]) -> dict[str, Arrays]:
    """Arrays of every job by its slot; `ours` are the scores under each setting."""
    places = {each["id"]: place for place, each in enumerate(SETTINGS)}
    found = {}
    for slot in several:
        if isinstance(slot.job, TuningJob):
            found[slot.id] = tuning(slot.job)[0]
        elif isinstance(slot.job, ModelJob):
            at = places[slot.setting]
            found[slot.id] = _answers(slot.job, at, ours[at])
    return found


def _answers(job: ModelJob, setting: int, scores: Scores) -> Arrays:
    """Of one evaluation."""
    arm = f"{job.tuned.method}.{job.tuned.precision}" if job.tuned else BEFORE
    made: Arrays = {}
    for shots in job.shots:
        right = scores[job.checkpoint, arm, job.task, shots]
        found = _at_one_number_of_shots(job.task, right, setting)
        made |= {f"shots{shots}/{name}": each for name, each in found.items()}
    if job.task == "mmlu":
        made |= {"subject": np.zeros(N, np.int64), "question": np.arange(N)}
    return made


@functools.cache
def _at_one_number_of_shots(task: str, right: int, setting: int) -> Arrays:
    """The first questions are answered right, the others with the next letter or choice."""
    gold, choices = gold_of(task), 2 if task == "winogrande" else 4
    letters = np.where(np.arange(N) < right, gold, (gold + 1) % choices)
    likelihoods = np.full((N, choices), -5.0 - setting)
    likelihoods[np.arange(N), letters] = -1.0
    found = {"log_likelihood": likelihoods, "prediction": letters, "gold": gold}
    if task != "mmlu":
        found |= {"characters": np.full((N, choices), 10), "tokens": np.full(N, 9)}
        found["prediction_normalised"] = letters
    return found


def tuning(job: TuningJob) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and values of a tuning in which every adapter learns."""
    steps = ROWS // job.recipe.batch_size * job.recipe.epochs
    arrays = {
        "loss": np.linspace(3, 2, steps) + len(job.recipe.precision) / 64,
        "gradient_norm": np.ones(steps),
        "learning_rate": job.recipe.learning_rate * np.linspace(1, 0.5, steps),
        "row_order": np.arange(ROWS),
        "gradient_arrived": np.ones(len(TENSORS), np.uint8),
        "moved": np.ones(len(TENSORS), np.uint8),
    }
    names = fileio.canonical(list(TENSORS)).decode()
    return arrays, {"steps": steps, "non_finite_steps": 0, "trainable_tensors": names}


def values_of(job: Job, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """What a record says of its arrays; of MMLU as `made_up_records` counts it."""
    if isinstance(job, TuningJob):
        return tuning(job)[1]
    found = records.values_of(dict(arrays))
    if isinstance(job, EvaluateJob):
        return found
    for shots in SHOTS:
        found[f"shots{shots}/accuracy_norm"] = found[f"shots{shots}/accuracy"]
        found[f"shots{shots}/non_finite"] = 0
    return found


def weights(job: TuningJob) -> dict[str, str]:
    """Digests of the weights that a tuning makes."""
    return {"adapter_model.safetensors": fileio.digest_of_data(job)}


def weights_of(job: Job | None) -> dict[str, str]:
    """Digests of the weights that an evaluation reads; none of an untuned model."""
    if not isinstance(job, ModelJob) or job.tuned is None:
        return {}
    return weights(TuningJob(kind="tuning", checkpoint=job.checkpoint, recipe=job.tuned))
