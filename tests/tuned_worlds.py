"""Records of tuned models, and claims about them."""

from typing import Any

import made_up_tuning as tuned

from repro.schema.finding import Finding
from verify.evidence import Evidence
from verify.judge import judge

ARMS = ("full.float32", "lora-all.float32", "lora-all.bfloat16", "lora-sll.bfloat16")


MODELS = ("mamba-1", "mamba-2")


RIGHT = 40


def divergence(*methods: str, models: tuple[str, ...] = MODELS[:1], margin: str = "12") -> Any:
    measure = {
        "kind": "tuned-divergence",
        "checkpoints": list(models),
        "methods": list(methods),
        "precision": "bfloat16",
    }
    return tuned.cell(measure, margin)


def it(evidence: Evidence) -> Finding:
    return next(f for f in judge(evidence.manifest, evidence, {}).findings if f.claim == "it")


def losing(lost: dict[str, int]) -> tuned.Right:
    """Of 40 right answers of the reference so many are lost, by checkpoint and arm, or by arm.

    One fewer or more at 5 shots from setting to setting.
    """

    def right(checkpoint: str, arm: str, setting: int, _: str, shots: int) -> int:
        found = lost.get(f"{checkpoint} {arm}", lost.get(arm, 0))
        wobble = (setting % 3 - 1) * (shots > 0)
        return RIGHT - found - (wobble if found else 0)

    return right
