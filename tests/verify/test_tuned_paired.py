"""What a divergence of tuned models stands beside. Oracle: the arms of made-up tuning groups."""

from pathlib import Path

import made_up_tuning as tuned
import pytest
from tuned_worlds import ARMS, MODELS, divergence, it, losing

from repro.schema.tuned_slots import TunedModel
from verify import tuned_paired


def test_an_arm_on_another_path_is_a_control_of_its_own_claim_alone(tmp_path: Path) -> None:
    """Two arms run on the other path of both models; a third group tunes another model on it."""
    group = tuned.group(MODELS, ARMS, ("mmlu",))
    arms = ("full.float32", "lora-all.bfloat16", "lora-sll.bfloat16")
    groups = [group]
    for name, models in (("live", MODELS), ("third", ("mamba-3",))):
        other = tuned.group(models, arms, ("mmlu",), id=name)
        other["recipe"]["mamba_path"] = "live"
        groups.append(other)
    claimed = tuned.manifest(groups, [divergence("lora-all")], number="20.0")
    evidence = tuned.run(tmp_path, claimed, losing({"lora-all.bfloat16": 13}))
    found = [
        each for each in it(evidence).estimates if "live" in each.label or "third" in each.label
    ]
    assert [each.label for each in found] == ["lora-all.bfloat16.live against full.float32.live"]
    assert found[0].value == pytest.approx(20.0, abs=1e-3)


@pytest.mark.parametrize(("settings", "lines"), [(1, 0), (2, 1)])
def test_two_settings_are_enough_to_tell_seeds_apart(
    tmp_path: Path, settings: int, lines: int
) -> None:
    """13 and 14 answers lost, then 13 and 13 at 0 and 5 shots: half an answer of 65 apart."""
    group = tuned.group(MODELS[:1], ARMS, ("mmlu",))
    for each in ("settings", "seeds"):
        group["tiers"]["full"][each] = group["tiers"]["full"][each][:settings]
    claimed = tuned.manifest([group], [divergence("lora-all")], number="20.0")
    evidence = tuned.run(tmp_path, claimed, losing({"full.float32": 13}))
    model = TunedModel("mamba-1", "lora-all.bfloat16")
    found = list(tuned_paired.controls(claimed, evidence, [model], "mmlu"))
    seeds = [each for each in found if "seeds" in each.label]
    assert [each.label for each in seeds] == ["full.float32 between two seeds and settings"] * lines
    assert [each.value for each in seeds] == [pytest.approx(0.769, abs=1e-3)] * lines
