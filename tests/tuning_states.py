"""Small tunings whose state is written at every step."""

from typing import Any

import tiny_tuning

from runner.tuning import checkpoint, trainer


def recipe(**changes: Any) -> Any:
    """20 steps in which random numbers matter: dropout in the model and in LoRA."""
    lora = {"lora_dropout": 0.1} if changes.get("method") else {}
    return tiny_tuning.recipe(**{"epochs": 2, "batch_size": 2, "max_length": 16} | lora | changes)


def state_at_every_step() -> None:
    """As after a minute of training, at every step from the third on; each waits for the last."""
    checkpoint.StateWriter.is_due = lambda _: True  # type: ignore[method-assign]
    trainer.LOOK = 0.0
    trainer.WATCHED = 3
