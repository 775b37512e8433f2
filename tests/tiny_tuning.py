"""Recipes, rows and runs small enough for a CPU: the twins, a few steps."""

import gc
import json
import shutil
from pathlib import Path
from typing import Any

from repro import paths
from repro.schema.jobs import Recipe, TuningJob
from runner.measurement import Inputs, Measurement, Progress
from runner.tuning import finetune

gc.freeze()  # a run collects garbage thrice, each time a fifth of a second over the libraries

TWINS = {name: paths.ROOT / "twins" / f"{name}-twin" for name in ("mamba", "mamba2", "gpt-neox")}

WHOLE = 80
"""Tokens that hold the rows below to their end; Mamba's loop is given fewer."""


def recipe(**changes: Any) -> Recipe:
    """Full fine-tuning in float32, with a rank and dropout where the method is LoRA."""
    lora = changes.get("method", "full") != "full"
    said: dict[str, Any] = {
        "data": "alpaca",
        "rows": None,
        "method": "full",
        "precision": "float32",
        "learning_rate": 1e-3,
        "rank": 4 if lora else None,
        "lora_scale": 2.0 if lora else None,
        "lora_dropout": 0.0 if lora else None,
        "epochs": 1,
        "batch_size": 4,
        "max_length": WHOLE,
        "append_eos": True,
        "loss": "all",
        "weight_decay": 0.0,
        "adam_betas": (0.9, 0.999),
        "adam_epsilon": 1e-8,
        "max_gradient_norm": 1.0,
        "seed": 42,
        "mamba_path": "slow",
    }
    return Recipe(**said | changes)


def rows(folder: Path, count: int) -> Path:
    """Alpaca's form: rows of which no two are alike, within `WHOLE` tokens."""
    made = [
        {"instruction": f"Count to {n}.", "input": "", "output": f"{n} " + "so " * (n % 4)}
        for n in range(count)
    ]
    path = folder / f"alpaca-{count}.json"
    path.write_text(json.dumps(made))
    return path


def silent(done: int, total: int, note: str = "") -> None:
    """Progress that nobody sees."""


def run(
    asked: Recipe,
    data: Path,
    work: Path,
    checkpoint: Path = TWINS["gpt-neox"],
    progress: Progress = silent,
) -> Measurement:
    """Run a recipe on a checkpoint."""
    work.mkdir(exist_ok=True)
    job = TuningJob(kind="tuning", checkpoint=checkpoint.name, recipe=asked)
    return finetune.run(job, Inputs(checkpoint=checkpoint, data=data, work=work), progress)


def with_dropout(folder: Path) -> Path:
    """The GPT-NeoX twin with dropout, which training draws random numbers for."""
    shutil.copytree(TWINS["gpt-neox"], folder)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"hidden_dropout": 0.1, "attention_dropout": 0.1}
    path.write_text(json.dumps(config))
    return folder
