"""Groups of jobs as manifests have them, for made-up ones. Imports nothing of what judges them."""

from collections.abc import Iterable, Sequence
from typing import Any

RECIPE: dict[str, Any] = {
    "data": "alpaca",
    "lora_scale": 1.0,
    "lora_dropout": 0.0,
    "max_length": 16,
    "append_eos": True,
    "loss": "all",
    "weight_decay": 0.0,
    "adam_betas": [0.9, 0.999],
    "adam_epsilon": 1e-8,
    "max_gradient_norm": 1.0,
    "mamba_path": "kernels",
}
"""Of a tuning group, but for `rows`, `epochs` and `batch_size`."""

THREE_ARMS = ("full.float32", "full.float16", "lora-all.float16")


def arms_of(names: Iterable[str]) -> list[dict[str, str]]:
    """`<method>.<precision>` as fields."""
    return [dict(zip(("method", "precision"), name.split("."), strict=True)) for name in names]


def throughput_group(
    name: str,
    checkpoints: Iterable[str],
    arms: Iterable[str] = THREE_ARMS,
    memory_caps: Sequence[float] = (22.0, 24.0),
) -> dict[str, Any]:
    """What fine-tuning costs, five timings a run."""
    return {
        "kind": "throughput",
        "id": name,
        "checkpoints": [
            {"checkpoint": each, "learning_rate": 1e-5, "rank": 8} for each in checkpoints
        ],
        "arms": arms_of(arms),
        "memory_caps": list(memory_caps),
        "max_length": 512,
        "mamba_path": "kernels",
        "warm_up_steps": 1,
        "steps": 2,
        "repeats": 5,
        "seed": 0,
        "tiers": ["full"],
    }
