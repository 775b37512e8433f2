"""Plans of tuning jobs on a machine that is made up."""

import json
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np

from repro import fileio, paths
from repro.environment.machine import Environment, Gpu
from repro.inputs.locate import InputLocator
from repro.planning.plan import Plan, PlannedJob
from repro.planning.planner import FetchSources, Planner, SlotFilter
from repro.schema import validate
from repro.schema.catalog import HubSource
from repro.schema.jobs import TuningJob
from repro.schema.manifest import Manifest
from repro.store.store import MODEL, Store

TUNED = "mamba-130m.lora-all.bfloat16.batch-16"


ASKED = f"{TUNED}.lambada_openai.float32"


FIGURE1 = validate.load_manifest(paths.MANIFESTS / "figure1.json")


GIB = 1 << 30


def machine(ram: int = 64 * GIB, gpu: int = 0) -> Environment:
    """This machine with so much memory, and a GPU with so much of its own."""
    gpus = (Gpu(name="made up", driver="1", memory=gpu, uuid="0"),) if gpu else ()
    return records.this_machine().model_copy(update={"ram": ram, "gpus": gpus})


def planned(plan: Plan, slot: str) -> PlannedJob:
    (found,) = (job for job in plan.jobs if job.slot.id == slot)
    return found


def planner(root: Path, here: Environment | None = None, **changes: Any) -> Planner:
    """A planner of a machine without network that has LAMBADA, or a file in its place."""
    words = root / "words.jsonl"
    words.write_text('{"text": "one two"}\n')
    said: dict[str, Any] = {
        "only": SlotFilter(),
        "fetch_sources": FetchSources(hub=False, index=False),
        "fresh": False,
    }
    on_shelf = changes.pop("on_shelf", None) or locator(words)
    return Planner(on_shelf, Store(root), here or machine(), **said | changes)


def save(root: Path, tuning: PlannedJob, weights: str = "1" * 64) -> str:
    """Write the record of a planned tuning, as a runner would; returns its key."""
    assert isinstance(tuning.slot.job, TuningJob)

    def as_planned(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["key"] = tuning.key

    key = records.save_record(
        Store(root),
        tuning.slot.job,
        {"loss": np.ones(4)},
        machine(),
        as_planned,
        values={"steps": 4},
        files={"adapter_model.safetensors": weights},
    )
    (Store(root).folder(key) / MODEL).mkdir()
    return key


def locator(words: Path | None = None) -> InputLocator:
    """The catalog with data of the hub at an address of which no cache holds anything."""
    found = InputLocator(data={"lambada_openai": words} if words else {})
    nowhere = HubSource(kind="hub", repository="made-up/rows", revision="main", remote_code=False)
    moved = {
        name: found.datasets[name].model_copy(update={"hub": nowhere})
        for name in ("lambada_openai", "lima")
    }
    found.datasets = {**found.datasets, **moved}
    return found


def small(data: str = "sums", **changes: Any) -> Manifest:
    """Figure 1 at tier smoke cut to one twin, tuned on `data` and asked LAMBADA."""
    said = json.loads((paths.MANIFESTS / "figure1.json").read_text())
    group = said["jobs"][0]
    group["checkpoints"] = group["checkpoints"][:1]
    group["arms"] = [
        {"method": "full", "precision": "float32"},
        {"method": "lora-all", "precision": "bfloat16"},
        {"method": "lora-all", "precision": "float16"},
    ]
    group["questions"] = [
        {"task": "lambada_openai", "shots": [0], "dtypes": ["float32"], "of": "every-arm"}
    ]
    smoke = group["tiers"]["smoke"]
    smoke |= {"tasks": ["lambada_openai"], "subjects": [], "questions": 4, **changes}
    smoke["smaller"]["data"] = data
    group["tiers"] = {"smoke": smoke}
    said |= {"id": "small", "jobs": [group]}  # a planner reads no claim
    return Manifest.model_validate_json(fileio.canonical(said))
