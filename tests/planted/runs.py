"""Planted claims on layers, algebra, adapters and costs of tuning, with the records of their runs.

What is random here (timings) is small beside what is claimed; all else is exact.
"""

import math
from decimal import Decimal
from typing import Any

import made_up_records as records
import numpy as np
from job_groups import throughput_group
from planted.claims import Paper

from repro import fileio
from repro.environment.machine import Environment, Gpu
from repro.schema.catalog import checkpoints
from repro.schema.jobs import Job, StabilityJob, ThroughputJob, TuningJob, WeightTyingJob
from repro.schema.manifest import Manifest
from repro.schema.slots import slots
from repro.store import run_file
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import Store

GIB = 2**30


def plant(paper: Paper) -> list[dict[str, Any]]:
    """Plant the claims; the job groups that they need."""
    for each in (_bounds, _trends, _identities, _learning, _memory, _speed):
        each(paper)
    lone: dict[str, Any] = {"layers": LAYERS, "algebra": ALGEBRA, "adapters": ADAPTERS}
    lone = {name: job.model_dump(mode="json") for name, job in lone.items()}
    return [
        *({"kind": "single", "id": n, "tiers": ["full"], "job": job} for n, job in lone.items()),
        COSTS,
    ]


def write(root: Any, claimed: Manifest) -> RunFile:
    """Records and run file of a whole run, as `repro run` would leave them; `root` is a folder."""
    store, jobs = Store(root), {}
    for slot in slots(claimed, "full", checkpoints()):
        assert slot.job
        jobs[slot.id] = _save(store, slot.job, len(jobs))
    run = RunFile(
        schema_version=2,
        manifest=claimed.id,
        file=f"{claimed.id}.json",
        tier="full",
        started="2026-01-01T00:00:00+00:00",
        substitutions={},
        jobs=jobs,
        missing={},
        committed=commitments_of(claimed),
    )
    run_file.save(root, run)
    return run


def _save(store: Store, job: Job, number: int) -> str:
    here = records.this_machine()
    if isinstance(job, ThroughputJob):
        arrays, values = _timings(job, number)
        return records.save_record(store, job, arrays, _gpu(here), values=values)
    if isinstance(job, TuningJob):
        arrays, values = _tuning(job)
        files = {"adapter_model.safetensors": "2" * 64}
        path = _on_path("fused")
        return records.save_record(store, job, arrays, here, path, values=values, files=files)
    made = _layers() if isinstance(job, StabilityJob) else _algebra()
    return records.save_record(store, job, made, here)


def _on_path(taken: str) -> records.Change:
    return lambda _, fields: fields.update(path={"device": "cpu", "mamba_path": taken})


# -----------------------------------------------------------------------------
# Layers: what a roll-out shows of a bound and of a rate, and what comes after its last step.

STEPS = 64
LAYERS = StabilityJob(
    kind="stability",
    family="mamba-euler",
    checkpoint=None,
    layers=6,
    channels=2,
    state_size=2,
    steps=STEPS,
    epsilon=0.1,
    sweep=(),
    sweep_layers=0,
    precisions=(),
    seed=0,
)


def _layers() -> dict[str, Any]:
    """Ratios of perturbed to unperturbed states, and envelopes of how they come together."""
    times, rates = np.arange(STEPS), np.linspace(0.02, 0.2, 6)[:, None]
    falling = np.exp(-rates * times)
    # A gain above 1 from step 64 on: nothing of it is in 64 steps.
    gains = np.where(np.arange(2 * STEPS) < STEPS, 0.97, 1.3) * np.ones((6, 1))
    late = np.cumprod(gains, axis=1)
    assert late.max() > 1  # it breaks, after what is run
    bent = np.exp(np.abs(times - 20.0) / 20 - 1) * np.ones((6, 1))
    return {
        "times": times,
        "ratio": np.array([0.2, 0.9, 0.5, 0.31, 0.99, 0.7]),
        "edge": np.array([0.2, 1.0, 0.5, 0.31, 0.99, 0.7]),
        "one_broken": np.array([0.2, 0.9, 0.5, 1.01, 0.99, 0.7]),
        "late_ratio": late[:, :STEPS].max(axis=1),
        "control": np.array([3.0, 1.5, 2.0, 7.0, 1.1, 1.2]),
        "weak_control": np.array([3.0, 1.5, 2.0, 0.9, 1.1, 1.2]),
        "falling": falling,
        "late": late[:, :STEPS],
        "rising": np.vstack([falling[:5], np.exp(0.01 * times)]),
        "bent": np.vstack([falling[:5], bent[:1]]),
        "floor": np.full((6, STEPS), 1e-12),
        "all_floor": np.full((6, STEPS), 10.0),
        "up_control": np.exp(0.05 * times) * np.ones((6, 1)),
    }


def _bounds(paper: Paper) -> None:
    for name, array, relation, truth, outcome, listed in (
        ("true", "ratio", "at-most", "sampled", "inconclusive", "held"),
        ("at-the-edge", "edge", "at-most", "sampled", "inconclusive", "held"),
        ("strict-edge", "edge", "below", "false", "contradicted", None),
        ("one-layer", "one_broken", "at-most", "false", "contradicted", None),
        ("after-the-horizon", "late_ratio", "at-most", "open", "inconclusive", "held"),
        ("above", "control", "above", "sampled", "inconclusive", "held"),
    ):
        said = {"arrays": [array], "relation": relation, "limit": "1", "jobs": ["layers"]}
        controls = [] if relation == "above" else [{"array": "control", "what": "a control"}]
        paper.claim(
            f"bound.{name}", "bound", truth, outcome, listed=listed, controls=controls, **said
        )
    said = {"arrays": ["ratio"], "relation": "at-most", "limit": "1", "jobs": ["layers"]}
    weak = [{"array": "weak_control", "what": "a control that holds the bound once"}]
    paper.claim("bound.idle", "bound", "broken", "invalid", controls=weak, **said)


def _trends(paper: Paper) -> None:
    for name, array, floor, truth, outcome, listed in (
        ("true", "falling", "floor", "sampled", "inconclusive", "held"),
        ("after-the-horizon", "late", "floor", "open", "inconclusive", "held"),
        ("rising", "rising", "floor", "false", "contradicted", None),
        ("bent", "bent", "floor", "open", "inconclusive", None),  # down, then up
        ("rounding", "falling", "all_floor", "broken", "invalid", None),
    ):
        said = {"arrays": [array], "floors": [floor], "times": "times", "direction": "decreasing"}
        controls = [{"array": "up_control", "what": "a layer that grows"}]
        more = {"jobs": ["layers"], "controls": controls}
        paper.claim(f"trend.{name}", "trend", truth, outcome, listed=listed, **said, **more)


# -----------------------------------------------------------------------------
# Algebra: changes of a stacked weight that are a product of two thin matrices, and one that is not.

ALGEBRA = WeightTyingJob(
    kind="weight_tying", projection="p", inputs=5, blocks={"a": 3, "b": 4}, rank=2, seed=0
)


def _algebra() -> dict[str, Any]:
    rng, made = np.random.default_rng(3), {}
    up, down = rng.integers(-9, 9, (7, 2)), rng.integers(-9, 9, (2, 5))
    off = np.zeros((7, 5), dtype=np.int64)
    off[3, 1] = 1  # one entry of one row
    for name, added in (("tied", 0), ("untied", off)):
        made |= {f"{name}/up": up, f"{name}/down": down}
        made[f"{name}/change_sha256"] = fileio.digests_of_rows(up @ down + added)
    return made


def _identities(paper: Paper) -> None:
    for name, case, control, truth, outcome in (
        ("true", "tied", "untied", "true", "reproduced"),
        ("false", "untied", "untied", "false", "contradicted"),
        ("idle", "tied", "tied", "broken", "invalid"),
    ):
        controls = [{"array": control, "what": "blocks that are tuned apart"}]
        said = {"jobs": ["algebra"], "case": case, "controls": controls}
        paper.claim(f"identity.{name}", "identity", truth, outcome, **said)


# -----------------------------------------------------------------------------
# Adapters: a gradient reaches those of in_proj, none of x_proj, and those of dt_proj in one layer.

ROWS = 8
ADAPTERS = TuningJob.model_validate(
    {
        "kind": "tuning",
        "checkpoint": "mamba-130m",
        "recipe": {
            "data": "alpaca",
            "rows": ROWS,
            "epochs": 2,
            "batch_size": 4,
            "max_length": 16,
            "append_eos": True,
            "loss": "all",
            "weight_decay": 0.0,
            "adam_betas": (0.9, 0.999),
            "adam_epsilon": 1e-8,
            "max_gradient_norm": 1.0,
            "mamba_path": "kernels",
            "method": "lora-all",
            "precision": "float32",
            "learning_rate": 1e-4,
            "rank": 2,
            "lora_scale": 1.0,
            "lora_dropout": 0.0,
            "seed": 42,
        },
    }
)
REACHED = {"in_proj": (1, 1), "x_proj": (0, 0), "dt_proj": (1, 0)}
"""By adapted layer: whether a gradient reaches it in the first block and in the second."""


def _tuning(job: TuningJob) -> tuple[dict[str, Any], dict[str, Any]]:
    steps = math.ceil(ROWS / job.recipe.batch_size) * job.recipe.epochs
    names = [
        f"layers.{block}.{layer}.lora_{half}"
        for layer in REACHED
        for block in (0, 1)
        for half in "AB"
    ]
    reached = np.array([REACHED[n.split(".")[2]][int(n.split(".")[1])] for n in names], np.uint8)
    fall = np.linspace(1, 0.1, steps)
    arrays = {
        "loss": np.linspace(3, 2, steps),
        "gradient_norm": np.ones(steps),
        "learning_rate": job.recipe.learning_rate * fall,
        "row_order": np.arange(ROWS)[::-1].copy(),
        "gradient_arrived": reached,
        "moved": reached,
    }
    names_as_text = fileio.canonical(names).decode()
    values = {"steps": steps, "non_finite_steps": 0, "trainable_tensors": names_as_text}
    return arrays, values


def _learning(paper: Paper) -> None:
    for name, layer, path, truth, outcome in (
        ("true", "in_proj", "fused", "true", "reproduced"),
        ("false", "x_proj", "fused", "false", "contradicted"),
        ("some", "dt_proj", "fused", "open", "inconclusive"),
        ("another-path", "in_proj", "slow", "open", "not-run"),
    ):
        said = {"jobs": ["adapters"], "layer": layer, "path": path}
        paper.claim(f"learns.{name}", "learns", truth, outcome, **said)


# -----------------------------------------------------------------------------
# The cost of tuning on one GPU, under two caps of memory.

HARDWARE = "NVIDIA A10G"
CONTEXT = GIB // 2
SIZES = ("mamba-130m", "mamba-370m", "mamba-790m")
COSTS = throughput_group("costs", SIZES)
REFERENCE = "full.float32"
RUNS: dict[tuple[str, str], tuple[float, float, float, float]] = {
    ("mamba-130m", REFERENCE): (1000, 20, 20, 8),
    ("mamba-130m", "full.float16"): (2000, 15, 17, 6),
    ("mamba-130m", "lora-all.float16"): (4000, 5, 14, 2),
    ("mamba-370m", REFERENCE): (500, 20, 20, 12),
    ("mamba-370m", "full.float16"): (1500, 10, 10, 9),
    ("mamba-370m", "lora-all.float16"): (2500, 4, 4, 3),
    ("mamba-790m", REFERENCE): (0, 0, 0, 30),
    ("mamba-790m", "full.float16"): (700, 22, 23, 22.5),  # under the larger cap alone
    ("mamba-790m", "lora-all.float16"): (900, 8, 8, 5),
}
"""Tokens a second, GiB given out and held at the batch of 4 rows, GiB that one row takes.

On average 3 times the reference's speed, then 4 times; of memory 50 % less by what was given out
and 22.5 % by what was held, then 65 % by both.
"""


def _timings(job: ThroughputJob, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and values of one run; timings differ by half a percent."""
    speed, memory, held, needs = RUNS[job.checkpoint, f"{job.method}.{job.precision}"]
    fits = speed > 0 and needs + 0.5 <= job.memory_cap
    tried = {1: 0.3, 2: 0.6, 4: 1.0, 8: 0.0} if fits else {1: 0.0}
    noise = np.random.default_rng(number).normal(0, 0.005, job.repeats)
    sizes = {"allocated": round(memory * GIB), "reserved": round(held * GIB)}
    timed = speed * (1 + noise)[: job.repeats if fits else 0]
    arrays: dict[str, Any] = {
        "tokens_per_second": timed,
        "batch_sizes_tried": np.array(list(tried)),
        "fits_tried": np.array([part > 0 for part in tried.values()], np.uint8),
        "tokens_per_second_tried": speed * np.array(list(tried.values())),
        "memory_uncapped": np.array([round(needs * GIB), round((needs + 0.5) * GIB)]),
    }
    for name, peak in sizes.items():
        arrays[f"memory_{name}"] = np.full(len(timed), peak)
        arrays[f"memory_{name}_tried"] = np.full(len(tried), peak)
    values: dict[str, Any] = {"fits": int(fits), "context_bytes": CONTEXT}
    if fits:
        values |= {"batch_size": 4, "tokens_per_second": float(timed.mean())}
        for name, peak in sizes.items():
            values |= {f"max_memory_{name}": peak, f"memory_per_token_{name}": peak / (4 * 512)}
    return arrays, values


def _gpu(here: Environment) -> Environment:
    gpu = Gpu(name=HARDWARE, driver="1", memory=22 * GIB, uuid="")
    return here.model_copy(update={"gpus": (gpu,)})


def _gain(paper: Paper, name: str, text: str, truth: Any, outcome: Any, **changes: Any) -> None:
    """A cell that says what a size gains on average."""
    measure = {
        "kind": "throughput",
        "group": "costs",
        "checkpoints": [SIZES[1]],
        "reference": REFERENCE,
        "against": None,
        "statistic": "memory",
        "form": "mean",
        "hardware": HARDWARE,
        **changes,
    }
    unit = "times" if measure["statistic"] == "speed" else "percent"
    nothing = 1 if unit == "times" else 0
    margin = {"value": f"{(Decimal(text) - nothing) / 2:f}", "origin": "half the way to no gain"}
    published = paper.value(text, unit)
    paper.claim(name, "cell", truth, outcome, published=published, measure=measure, margin=margin)


def _memory(paper: Paper) -> None:
    _gain(paper, "memory.true", "65", "true", "reproduced")
    _gain(paper, "memory.largest", "80", "true", "reproduced", form="largest")
    # The reference takes 100 % and 400 % more than the two.
    _gain(paper, "memory.wrong-denominator", "250", "false", "contradicted")
    _gain(paper, "memory.unit-slip", "0.65", "false", "contradicted")
    first = {"checkpoints": [SIZES[0]]}
    _gain(paper, "memory.by-one-count", "50", "by-one-reading", "inconclusive", **first)
    _gain(paper, "memory.elsewhere", "65", "open", "inconclusive", hardware="NVIDIA A100")
    for name, runs, truth, outcome in (
        ("true", [(SIZES[2], REFERENCE, False), (SIZES[0], REFERENCE, True)], "true", "reproduced"),
        ("false", [(SIZES[2], REFERENCE, True)], "false", "contradicted"),
        ("by-one-cap", [(SIZES[2], "full.float16", True)], "by-one-reading", "inconclusive"),
    ):
        said = [{"group": "costs", "checkpoint": c, "arm": arm, "fits": f} for c, arm, f in runs]
        more = {"published": None, "hardware": HARDWARE, "runs": said}
        paper.claim(f"fits.{name}", "fits", truth, outcome, **more)


def _speed(paper: Paper) -> None:
    """What timings tell: a rule may leave it open, and may not get it wrong."""
    either: dict[str, Any] = {"statistic": "speed", "checkpoints": [SIZES[0]]}
    _gain(paper, "speed.true", "3.0", "true", ("reproduced", "inconclusive"), **either)
    _gain(paper, "speed.false", "2.0", "false", ("contradicted", "inconclusive"), **either)
    for name, sizes, truth, outcome in (
        ("true", SIZES[:2], "true", "reproduced"),
        ("false", SIZES[1::-1], "false", "contradicted"),
        ("missing", SIZES, "open", "inconclusive"),  # the reference of the largest does not fit
    ):
        fair = tuple(dict.fromkeys((outcome, "inconclusive")))
        said = {"published": None, "group": "costs", "checkpoints": list(sizes)}
        more = {"reference": REFERENCE, "hardware": HARDWARE}
        paper.claim(f"growing.{name}", "growing", truth, fair, **said, **more)
