"""What every kind of job has: words that several use, and the questions that planning asks."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from repro.schema.base import Frozen, Slug
from repro.schema.catalog import Benchmark, Checkpoint, Dataset, Instructions
from repro.schema.kinds.rates import StandIn

Data = Dataset | Benchmark | Instructions | None
"""The catalog's entry of the data that a job reads; None for a job without."""

Dtype = Literal["float64", "float32", "float16", "bfloat16"]
Attention = Literal["eager", "sdpa", "flash_attention_2"]
Tier = Literal["smoke", "subset", "full"]
CastMode = Literal["weight-cast", "autocast", "float32-head", "ieee"]
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
    batch_size: Annotated[int, Field(gt=0, lt=2**63)] | None
    """Questions in one forward pass; the same for both arms of a difference. Null: the largest
    power of two whose predicted peak memory in float32 fits the machine."""
    order: Literal["length-descending", "length-ascending"]
    """Order of the questions before batching: it decides who is padded to what length."""
    attention_float32: Attention
    """Attention kernel of the float32 arm."""
    attention_half: Attention
    """Attention kernel of the float16 and bfloat16 arms."""
    mamba_path: Literal["kernels", "slow"]
    """Mamba's scan: the CUDA kernels where they are installed, or transformers' Python loop, which
    the prefix engine replaces on a GPU in half precision by a kernel that rounds as it does."""


MODELS = (
    "torch",
    "triton",
    "transformers",
    "tokenizers",
    "peft",
    "datasets",
    "numpy",
    "safetensors",
    "mamba-ssm",
    "causal-conv1d",
    "flash-attn",
)
"""Packages that can change the numbers of whatever loads a language model."""

TEXT = 7_000
"""Bytes of a record without its arrays, about."""
LAYERS = 9_000_000
"""Bytes of a record that writes down layers or projections."""


@dataclass(frozen=True)
class Estimate:
    """What one job takes, wherever it runs; how far estimates are off: docs/performance.md."""

    gpu_seconds: float
    """Wall time on one H200."""
    cpu_seconds: float
    """Wall time on CPU cores, within a factor of three."""
    memory: int
    """Peak bytes of the device that runs it."""
    on_card: float = 0.0
    """Of the seconds on an H200, those that another card takes a multiple of."""
    products: str = "float32"
    """The dtype of most of them."""
    stand_ins: frozenset[StandIn] = frozenset()
    """What they are extrapolated from."""


class KindOfJob(Frozen):
    """Base of every kind of job. A kind answers what its own numbers make different.

    Where it is asked for costs, `checkpoint` is the catalog's entry of what it names, None for a
    job without; manifests are held to the catalog before.
    """

    ENTRY: ClassVar[str]
    """Module of `runner` whose `run` computes it; what it imports is part of a job's key."""
    LIBRARIES: ClassVar[tuple[str, ...]]
    """Packages whose versions can change its numbers."""
    READS_TOKENIZER: ClassVar[bool] = False
    """Whether it reads a checkpoint's tokenizer, and not its weights alone."""

    def specification(self) -> dict[str, Any]:
        """All that it says but the label of its setting, which changes no number."""
        said = self.model_dump(mode="json")
        said.get("setting", {}).pop("id", None)
        return said

    def checkpoint_name(self) -> str:
        """The checkpoint that it reads, by its name in the catalog; empty for a job without."""
        return ""

    def data_name(self) -> str:
        """The data set that it reads, by its name in the catalog; empty for a job without."""
        return ""

    def estimate(self, checkpoint: Checkpoint | None, data: Data) -> Estimate:  # noqa: ARG002
        """What running it costs; here that of a job that loads no model."""
        return Estimate(gpu_seconds=0.6, cpu_seconds=0.6, memory=1 << 28)

    def stored_bytes(self, checkpoint: Checkpoint | None, data: Data) -> int:  # noqa: ARG002
        """Bytes of its record and of the model that it makes."""
        return LAYERS

    def why_gpu(self) -> str:
        """Why no CPU can run it; empty if one can."""
        return ""
