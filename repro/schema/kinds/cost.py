"""Estimates of time and memory. Rough on purpose: within a factor of three.

The speeds were measured with the bundled twins on one CPU core and are scaled by
parameters elsewhere; jobs that run side by side are counted one after another. `repro plan`
prints estimates, records hold what it really took.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from repro.schema.kinds.memory import MAX_LENGTH, SMALL

if TYPE_CHECKING:
    from repro.schema.catalog import Checkpoint

CHARACTERS_A_TOKEN = {"large": 4.0, "small": 2.5}
"""English benchmark text: a 50,000-entry vocabulary, the twins' 2,048 entries."""
_GPU_FLOPS = {"float32": 2.5e13, "float16": 2e14, "bfloat16": 2e14}
"""Sustained on one H200: float32 without TF32, half precision on tensor cores."""
_CPU_FLOPS = {"float32": 2e10, "float16": 2e9, "bfloat16": 1e10}
"""Sustained on one core; torch 2.2.1 has no fast float16 product there."""
_CPU_LOOP = {"float32": 25_000.0, "float16": 12_000.0, "bfloat16": 25_000.0}
"""Tokens x blocks a second of Mamba's Python loop over time, on one core, at the twin's width."""
_START = 5.0
"""Seconds to load weights and build prompts."""
CHECKED = 2
"""Times that lm-eval answers the sample that the engine prefix is held to."""


@dataclass(frozen=True)
class Estimate:
    """What one job takes, wherever it runs."""

    gpu_seconds: float
    """Wall time on one H200."""
    cpu_seconds: float
    """Wall time on CPU cores."""
    memory: int
    """Peak bytes of the device that runs it."""


NO_MODEL = Estimate(1.0, 1.0, 1 << 28)
"""Of a job that loads no model."""


def is_small(checkpoint: "Checkpoint") -> bool:
    """Whether a checkpoint is a twin."""
    return checkpoint.parameters < SMALL


def rate(checkpoint: "Checkpoint") -> float:
    """Characters a token of a checkpoint's tokenizer, about."""
    return CHARACTERS_A_TOKEN["small" if is_small(checkpoint) else "large"]


def prompt_tokens(prompts: int, question: float, times: int, solved: float) -> float:
    """Tokens of prompts whose solved examples are read so many times.

    Prompts that are too long lose their beginning, and share none.
    """
    if question + solved > MAX_LENGTH:
        return prompts * float(MAX_LENGTH)
    return prompts * question + times * solved


def passes(
    checkpoint: "Checkpoint", dtype: str, tokens: float, *, operations: int, loops: int, memory: int
) -> Estimate:
    """Forward passes, or training steps, over so many tokens.

    Args:
        checkpoint: Parameters, blocks and family.
        dtype: What products are computed in.
        tokens: Read in all.
        operations: A parameter and token.
        loops: Times that a step goes over Mamba's loop on a CPU.
        memory: Peak bytes.
    """
    flops = operations * checkpoint.parameters * tokens
    cpu = flops / _CPU_FLOPS[dtype] + _START
    if checkpoint.family == "mamba":
        cpu += loops * tokens * checkpoint.blocks / _CPU_LOOP[dtype]
    return Estimate(flops / _GPU_FLOPS[dtype] + _START, cpu, memory)
