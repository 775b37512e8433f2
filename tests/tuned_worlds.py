"""Records of tuned models, and claims about them."""

from typing import Any

import made_up_tuning as tuned

from repro.schema.finding import Finding
from repro.schema.measured_claims import CellClaim
from verify.evidence import Evidence
from verify.judge import CELLS, CLAIMS, judge
from verify.paper import finding_of
from verify.rules.tuned import with_learning_notes
from verify.whole_table import adjust_over_table

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


def by_rule(evidence: Evidence) -> dict[str, Finding]:
    """What the rules say of every claim, as if the paper left nothing of its recipe open."""
    claims = {each.id: each for each in evidence.manifest.claims}
    judged = {}
    for name, each in claims.items():
        rule = CELLS[type(each.measure)] if isinstance(each, CellClaim) else CLAIMS[type(each)]
        judged[name] = with_learning_notes(rule(evidence.manifest, each, evidence))
    judged = adjust_over_table(judged, len(judged))
    return {
        name: finding_of(
            evidence.manifest,
            claims[name],
            each.decided,
            "measured",
            each.direction,
            [one.record.key for one in each.loaded],
        )
        for name, each in judged.items()
    }


LEFT_OPEN = {"names": "loss, evaluation in float32"}
"""What the made-up manifest says that the paper leaves open, and what no manifest has to."""


def losing(lost: dict[str, int]) -> tuned.Right:
    """Of 40 right answers of the reference so many are lost, by checkpoint and arm, or by arm.

    One fewer or more at 5 shots from setting to setting, as often the one as the other.
    """

    def right(checkpoint: str, arm: str, setting: int, _: str, shots: int) -> int:
        found = lost.get(f"{checkpoint} {arm}", lost.get(arm, 0))
        wobble = (-1, 0, 1, -1, 0, 1, 0)[setting] * (shots > 0)
        return RIGHT - found - (wobble if found else 0)

    return right
