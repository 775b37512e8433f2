"""What a job will cost, before anything starts. Rough on purpose: within a factor of three.

The speeds were measured with the bundled twins on one CPU core and are scaled by
parameters elsewhere; jobs that run side by side are counted one after another. `repro plan`
prints estimates, records hold what it really took.
"""

from dataclasses import dataclass

from repro.catalog import Checkpoint, Dataset
from repro.environment import Environment
from repro.families import FAMILIES
from repro.jobs import Attention, EvaluateJob, Job, StabilityJob

_MAX_LENGTH = 2048
"""Tokens kept of a prompt (paper's stack: lm-eval truncates from the left)."""
_CHARACTERS_A_TOKEN = {"large": 4.0, "small": 2.5}
"""English benchmark text: a 50,000-entry vocabulary, the twins' 2,048 entries."""
_SMALL = 10_000_000
"""Parameters below which a checkpoint is a twin."""
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
_VOCABULARY = 50_304
_SMALL_VOCABULARY = 2048
"""Of a twin."""
_START = 5.0
"""Seconds to load weights and build prompts."""


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
    job: Job, checkpoint: Checkpoint | None, dataset: Dataset | None, machine: Environment
) -> Cost:
    """Estimate one job on this machine."""
    if isinstance(job, EvaluateJob) and checkpoint and dataset:
        return _as_cost(machine, *_evaluation(job, checkpoint, dataset))
    if isinstance(job, StabilityJob):
        swept = 1 + len(job.sweep) * job.sweep_layers / job.layers
        entries = swept * job.layers * job.channels * job.state_size * job.steps * _MODES
        on_gpu, on_cpu = (1 + entries / _ELEMENTS_A_SECOND[each] for each in ("gpu", "cpu"))
        return _as_cost(machine, on_gpu, on_cpu, 1 << 30)
    return _as_cost(machine, 1.0, 1.0, 1 << 28)


def _as_cost(machine: Environment, on_gpu: float, on_cpu: float, memory: int) -> Cost:
    return Cost(on_gpu if machine.gpu else on_cpu, on_gpu, memory)


def tokens(job: EvaluateJob, dataset: Dataset, *, small: bool) -> float:
    """Prompt tokens of a job over all its questions and shots."""
    rate = _CHARACTERS_A_TOKEN["small" if small else "large"]
    total = 0.0
    for name in job.subjects:
        subject = dataset.subjects[name]
        for shots in job.shots:
            added = subject.shot_characters[shots - 1] if shots else 0
            length = (subject.question_characters + added) / rate
            total += subject.questions * min(length, _MAX_LENGTH)
    return total


def _evaluation(
    job: EvaluateJob, checkpoint: Checkpoint, dataset: Dataset
) -> tuple[float, float, int]:
    """Seconds on a GPU, seconds on a CPU, bytes."""
    small = checkpoint.parameters < _SMALL
    amount = tokens(job, dataset, small=small)
    flops = 2.0 * checkpoint.parameters * amount
    on_gpu = flops / _GPU_FLOPS[job.dtype] + _START
    on_cpu = flops / _CPU_FLOPS[job.dtype] + _START
    if checkpoint.family == "mamba":
        on_cpu += amount * checkpoint.blocks / _CPU_LOOP[job.dtype]
    setting = job.setting
    single = job.dtype == "float32"
    attention = setting.attention_float32 if single else setting.attention_half
    memory = peak_memory(checkpoint, job.dtype, setting.batch_size, attention)
    return on_gpu, on_cpu, memory


def peak_memory(checkpoint: Checkpoint, dtype: str, batch_size: int, attention: Attention) -> int:
    """Peak bytes of an evaluation whose longest prompts fill the context.

    Weights, and the larger of two moments. When a batch is scored: of every position and
    vocabulary entry its logits, their log-softmax, and that of the batch before, which lm-eval
    0.4.2 holds until the next is done; in float32 where the family widens its logits, else in
    the dtype of the weights. While the blocks run: the scores of the batch before, and what
    `_blocks` says. Within 15 % of what an H200 measured (`benchmarks/memory.py`).

    Args:
        checkpoint: Parameters, hidden size, blocks, heads and family.
        dtype: Dtype of the weights.
        batch_size: Questions in one forward pass.
        attention: Kernel of the attention, where there is one.
    """
    width = 4 if dtype == "float32" else 2
    vocabulary = _SMALL_VOCABULARY if checkpoint.parameters < _SMALL else _VOCABULARY
    tokens = batch_size * _MAX_LENGTH
    widened = FAMILIES[checkpoint.family].logits == "widened"
    scores = (4 if widened else width) * tokens * vocabulary
    blocks = width * tokens * _blocks(checkpoint, attention)
    return checkpoint.parameters * width + max(3 * scores, scores + blocks)


def _blocks(checkpoint: Checkpoint, attention: Attention) -> int:
    """Numbers that the blocks hold at once of each token, fitted to `benchmarks/memory.py`.

    transformers keeps keys and values of all blocks, asked or not; eager attention holds
    products of all positions with all, 2.5 times.
    """
    hidden = checkpoint.hidden_size
    if checkpoint.heads is None:
        return 16 * hidden
    products = 2.5 * checkpoint.heads * _MAX_LENGTH if attention == "eager" else 0
    return round(products) + (38 + 2 * checkpoint.blocks) * hidden
