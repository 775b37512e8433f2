"""Jobs: the smallest units that are run, cached, resumed and scheduled.

A job says everything that its numbers depend on and nothing else: no paths, no
claims, no published values. Its key (`repro.keys`) is the digest of this specification
together with the digests of its inputs, the library versions, the hardware class and
the code that computes it.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from repro.frozen import Frozen, Slug
from repro.tuning_jobs import Recipe, ThroughputJob, TuningJob

Dtype = Literal["float64", "float32", "float16", "bfloat16"]
Attention = Literal["eager", "sdpa", "flash_attention_2"]
Tier = Literal["smoke", "subset", "full"]
Arm = Literal["weight-cast", "autocast", "float32-head", "ieee"]
"""What mixed-precision inference may mean. weight-cast: every weight is rounded to the dtype, as
lm-eval's `dtype` does; autocast: weights stay in float32 and torch's autocast chooses what runs
in the dtype; float32-head: weights are cast, and the output layer and log-softmax take float32;
ieee: float32 in which Triton's kernels, Mamba-2's, do not round products to TF32, as they do by
default whatever torch's flags say."""

Engine = Literal["lm-eval", "prefix"]
"""What runs the requests that lm-eval makes. lm-eval: its own `HFLM`; prefix: what requests begin
with alike is run once, the same answers up to rounding, and `HFLM` beside it on a sample."""


class Setting(Frozen):
    """One choice of everything that the paper leaves open and that can move a digit."""

    id: Slug
    """Label; not part of a job's key."""
    batch_size: PositiveInt | None
    """Questions in one forward pass; the same for both arms of a difference. Null: the largest
    power of two whose predicted peak memory in float32 fits the machine."""
    order: Literal["length-descending", "length-ascending"]
    """Order of the questions before batching: it decides who is padded to what length."""
    attention_float32: Attention
    """Attention kernel of the float32 arm."""
    attention_half: Attention
    """Attention kernel of the float16 and bfloat16 arms."""
    mamba_path: Literal["kernels", "slow"]
    """Mamba's scan: the CUDA kernels where they are installed, or the Python loop."""


class EvaluateJob(Frozen):
    """One checkpoint in one dtype under one setting, over all shots of a task."""

    kind: Literal["evaluate"]
    checkpoint: Slug
    """Name in `catalog/checkpoints.json`."""
    tuned: Recipe | None = None
    """The fine-tuning that it went through before; null for the checkpoint as it is."""
    dtype: Literal["float32", "float16", "bfloat16"]
    arm: Arm
    """How the dtype is applied; float32 has only weight-cast and ieee."""
    task: Literal["mmlu"]
    subjects: Annotated[tuple[Slug, ...], Field(min_length=1)]
    """Whole subjects of the task, sorted."""
    shots: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    """Numbers of solved examples before each question."""
    setting: Setting
    engine: Engine = "lm-eval"
    checked: tuple[Slug, ...] = ()
    """With the engine prefix: subjects that lm-eval answers too, under the same setting and with
    another batch size."""
    checked_shots: tuple[NonNegativeInt, ...] = ()
    """At which numbers of solved examples it does."""


BenchmarkTask = Literal[
    "hellaswag", "piqa", "arc_easy", "arc_challenge", "winogrande", "lambada_openai"
]


class BenchmarkJob(Frozen):
    """One checkpoint, tuned or not, on one of lm-eval's benchmarks, over all shots."""

    kind: Literal["benchmark"]
    checkpoint: Slug
    """Name in `catalog/checkpoints.json`."""
    tuned: Recipe | None
    """The fine-tuning that it went through before; null for the checkpoint as it is."""
    dtype: Literal["float32", "float16", "bfloat16"]
    arm: Arm
    """How the dtype is applied; float32 has only weight-cast and ieee."""
    task: BenchmarkTask
    """lm-eval's name."""
    questions: PositiveInt | None
    """Only the first so many questions of the split; null for all."""
    shots: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    """Numbers of solved examples before each question."""
    seed: int
    """Of the sampler of solved examples; lm-eval's own is 1234."""
    setting: Setting
    engine: Engine = "lm-eval"
    checked: NonNegativeInt = 0
    """With the engine prefix: lm-eval answers the first so many questions too, twice."""


class StabilityJob(Frozen):
    """Perturbed roll-outs of many state-space layers of one family."""

    kind: Literal["stability"]
    family: Literal["mamba-euler", "mamba-zoh", "mamba2"]
    """Recurrence: S6 with Euler input (the kernels), S6 with zero-order hold (as printed), SSD."""
    checkpoint: Slug | None
    """Take the trained layers of this checkpoint; null draws random layers."""
    layers: PositiveInt
    """Random layers drawn (D, N below); for a checkpoint, input sequences per trained layer."""
    channels: PositiveInt
    """D, channels of a random layer; for a checkpoint, channels kept of each layer."""
    state_size: PositiveInt
    """N, state entries a channel."""
    steps: PositiveInt
    """T, time steps."""
    epsilon: PositiveFloat
    """Size of the perturbation that every mode is run with."""
    sweep: tuple[PositiveFloat, ...]
    """Further perturbation sizes, run on the first `sweep_layers` layers."""
    sweep_layers: NonNegativeInt
    precisions: tuple[Dtype, ...]
    """Dtypes whose trajectory is compared with float64, on the first `sweep_layers` layers."""
    seed: int


class WeightTyingJob(Frozen):
    """LoRA on one stacked projection against LoRA on its blocks, in exact integer algebra."""

    kind: Literal["weight_tying"]
    projection: Slug
    """Which weight, e.g. `mamba-130m.x_proj`; a label."""
    inputs: PositiveInt
    """Columns of the weight."""
    blocks: dict[Slug, PositiveInt]
    """Rows of the weight by the quantity that they produce, in stored order."""
    rank: PositiveInt
    """LoRA r."""
    seed: int


ModelJob = EvaluateJob | BenchmarkJob
"""Asks a language model questions under a setting."""


def data_name(job: "Job") -> str:
    """The data set that a job reads, by its name in the catalog; empty for a job without."""
    if isinstance(job, ModelJob):
        return job.task
    return job.recipe.data if isinstance(job, TuningJob) else ""


Job = Annotated[
    EvaluateJob | BenchmarkJob | TuningJob | ThroughputJob | StabilityJob | WeightTyingJob,
    Field(discriminator="kind"),
]
