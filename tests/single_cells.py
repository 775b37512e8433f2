"""A manifest of one cell."""

from typing import Any

from repro.schema.jobs import StabilityJob

SINGLE = StabilityJob(
    kind="stability",
    family="mamba-euler",
    checkpoint=None,
    layers=4,
    channels=2,
    state_size=2,
    steps=8,
    epsilon=0.1,
    sweep=(),
    sweep_layers=0,
    precisions=(),
    seed=0,
)


def single() -> dict[str, Any]:
    """A job group that is no evaluation."""
    job = SINGLE.model_dump(mode="json")
    return {"kind": "single", "id": "layers", "tiers": ["full"], "job": job}
