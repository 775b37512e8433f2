"""What a job will cost, before anything starts. Rough on purpose: within a factor of three.

The speeds were measured with the bundled twins on one CPU core and are scaled by
parameters elsewhere; jobs that run side by side are counted one after another. `repro plan`
prints estimates, records hold what it really took.
"""

import itertools
from dataclasses import dataclass

from repro.catalog import Benchmark, Checkpoint, Dataset, Instructions
from repro.environment import Environment
from repro.jobs import BenchmarkJob, EvaluateJob, Job, ModelJob, StabilityJob
from repro.peak_memory import MAX_LENGTH, SMALL, peak_memory, vocabulary_of
from repro.tuning_jobs import ThroughputJob, TuningJob

_CHARACTERS_A_TOKEN = {"large": 4.0, "small": 2.5}
"""English benchmark text: a 50,000-entry vocabulary, the twins' 2,048 entries."""
_GPU_FLOPS = {"float32": 2.5e13, "float16": 2e14, "bfloat16": 2e14}
"""Sustained on one H200: float32 without TF32, half precision on tensor cores."""
_CPU_FLOPS = {"float32": 2e10, "float16": 2e9, "bfloat16": 1e10}
"""Sustained on one core; torch 2.2.1 has no fast float16 product there."""
_CPU_LOOP = {"float32": 25_000.0, "float16": 12_000.0, "bfloat16": 25_000.0}
"""Tokens x blocks a second of Mamba's Python loop over time, on one core, at the twin's width."""
_ELEMENTS_A_SECOND = {"cpu": 4e8, "gpu": 2e10}
"""Perturbed state entries a second of the stability roll-outs."""
_MODES = 7
"""Trajectories of a roll-out: the unperturbed one and six perturbed ones."""
_START = 5.0
"""Seconds to load weights and build prompts."""
_THROUGHPUT = 10.0
"""Seconds of one throughput measurement on a GPU."""
_STATES = {"full": 16, "lora": 4.5}
"""Bytes a parameter of the model in training: weights, and of what is trained also a gradient and
Adam's two moments, all float32; adapters are about 3 % of it."""
_PASSES = {"full": 6, "lora": 4}
"""Operations a parameter and token of one training step."""
_CHECKED = 2
"""Times that lm-eval answers the sample that the engine prefix is held to."""
_KEPT = 34
"""Numbers kept of each token, block and unit of the hidden size for the backward pass."""


@dataclass(frozen=True)
class Cost:
    """An estimate."""

    seconds: float
    """Wall time on this machine."""
    gpu_seconds: float
    """Wall time on one H200, whatever this machine is."""
    memory: int
    """Peak bytes of the device that runs it."""


def of_job(
    job: Job,
    checkpoint: Checkpoint | None,
    data: Dataset | Benchmark | Instructions | None,
    machine: Environment,
) -> Cost:
    """Estimate one job on this machine.

    Args:
        job: What is run.
        checkpoint: The one that it names; None for a job without.
        data: The data set that it reads; None for a job without.
        machine: Where it runs.
    """
    if isinstance(job, ModelJob) and checkpoint:
        if isinstance(job, EvaluateJob):
            assert isinstance(data, Dataset)  # noqa: S101  # the shelf gives each job its own
            amount = tokens(job, data, small=_is_small(checkpoint))
        else:
            assert isinstance(data, Benchmark)  # noqa: S101
            amount = benchmark_tokens(job, data, small=_is_small(checkpoint))
        return _as_cost(machine, *_evaluation(job, checkpoint, amount))
    if isinstance(job, TuningJob) and checkpoint and isinstance(data, Instructions):
        return _as_cost(machine, *_tuning(job, checkpoint, data))
    if isinstance(job, ThroughputJob):
        return _as_cost(machine, _THROUGHPUT, _THROUGHPUT, 0)  # what does not fit is a result
    if isinstance(job, StabilityJob):
        swept = 1 + len(job.sweep) * job.sweep_layers / job.layers
        entries = swept * job.layers * job.channels * job.state_size * job.steps * _MODES
        on_gpu, on_cpu = (1 + entries / _ELEMENTS_A_SECOND[each] for each in ("gpu", "cpu"))
        return _as_cost(machine, on_gpu, on_cpu, 1 << 30)
    return _as_cost(machine, 1.0, 1.0, 1 << 28)


def _as_cost(machine: Environment, on_gpu: float, on_cpu: float, memory: int) -> Cost:
    return Cost(on_gpu if machine.gpu else on_cpu, on_gpu, memory)


def tokens(job: EvaluateJob, dataset: Dataset, *, small: bool) -> float:
    """Tokens that a model reads over all questions and shots of a job.

    The engine prefix reads solved examples once a subject, and lm-eval a sample twice beside it.
    """
    rate = _CHARACTERS_A_TOKEN["small" if small else "large"]

    def read(subjects: tuple[str, ...], shots: tuple[int, ...], *, shared: bool) -> float:
        total = 0.0
        for subject, count in itertools.product(map(dataset.subject, subjects), shots):
            question = subject.question_characters / rate
            solved = subject.shot_characters[count - 1] / rate if count else 0.0
            times = 1 if shared else subject.questions
            total += _read(subject.questions, question, times, solved)
        return total

    if job.engine == "lm-eval":
        return read(job.subjects, job.shots, shared=False)
    checked = read(job.checked, job.checked_shots, shared=False)
    return read(job.subjects, job.shots, shared=True) + _CHECKED * checked


def benchmark_tokens(job: BenchmarkJob, data: Benchmark, *, small: bool) -> float:
    """The same of a benchmark; there the choices of a question share its solved examples."""
    rate = _CHARACTERS_A_TOKEN["small" if small else "large"]
    question = data.question_characters / rate

    def read(questions: int, *, shared: bool) -> float:
        prompts = questions * data.choices
        times = questions if shared else prompts
        every = (shots * data.shot_characters / rate for shots in job.shots)
        return sum(_read(prompts, question, times, solved) for solved in every)

    questions = min(job.questions or data.questions, data.questions)
    if job.engine == "lm-eval":
        return read(questions, shared=False)
    return read(questions, shared=True) + _CHECKED * read(job.checked, shared=False)


def _read(prompts: int, question: float, times: int, solved: float) -> float:
    """Tokens of prompts whose solved examples are read so many times.

    Prompts that are too long lose their beginning, and share none.
    """
    if question + solved > MAX_LENGTH:
        return prompts * float(MAX_LENGTH)
    return prompts * question + times * solved


def _is_small(checkpoint: Checkpoint) -> bool:
    return checkpoint.parameters < SMALL


def _evaluation(job: ModelJob, checkpoint: Checkpoint, amount: float) -> tuple[float, float, int]:
    """Seconds on a GPU, seconds on a CPU, bytes, for so many tokens."""
    flops = 2.0 * checkpoint.parameters * amount
    on_gpu = flops / _GPU_FLOPS[job.dtype] + _START
    on_cpu = flops / _CPU_FLOPS[job.dtype] + _START
    if checkpoint.family == "mamba":
        on_cpu += amount * checkpoint.blocks / _CPU_LOOP[job.dtype]
    setting = job.setting
    single = job.dtype == "float32"
    attention = setting.attention_float32 if single else setting.attention_half
    memory = peak_memory(checkpoint, job.dtype, setting.batch_size or 1, attention)
    return on_gpu, on_cpu, memory


def _tuning(job: TuningJob, checkpoint: Checkpoint, data: Instructions) -> tuple[float, float, int]:
    """The same for a fine-tuning run."""
    recipe = job.recipe
    trained = "full" if recipe.method == "full" else "lora"
    rows = min(recipe.rows or data.rows, data.rows)
    rate = _CHARACTERS_A_TOKEN["small" if _is_small(checkpoint) else "large"]
    amount = recipe.epochs * rows * min(data.row_characters / rate, recipe.max_length)
    flops = _PASSES[trained] * checkpoint.parameters * amount
    on_gpu = flops / _GPU_FLOPS[recipe.precision] + _START
    on_cpu = flops / _CPU_FLOPS[recipe.precision] + _START
    if checkpoint.family == "mamba":
        on_cpu += 3 * amount * checkpoint.blocks / _CPU_LOOP[recipe.precision]
    batch = recipe.batch_size * recipe.max_length
    kept = _KEPT * checkpoint.blocks * checkpoint.hidden_size + 3 * vocabulary_of(checkpoint)
    return on_gpu, on_cpu, round(checkpoint.parameters * _STATES[trained]) + 4 * batch * kept
