"""From a checkpoint in some layout to answers, to a tuned one's, to those of the two merged.

Oracle: the adapters apart from the weights, which is how the bundle evaluates them; merging is done
here, by PEFT's own `merge`, and what it makes is written as a plain checkpoint.
OLMo's layouts and OpenELM have tests of their own.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import evaluate_jobs
import numpy as np
import pytest
import tiny_tuning
import torch
import written_layouts as layouts
from peft.tuners.tuners_utils import BaseTunerLayer

from repro.schema.jobs import Recipe
from repro.weights.loadable import TOKENIZER
from runner.evaluation import evaluate
from runner.measurement import Inputs
from runner.models import mamba2_checkpoint, tuned_weights
from runner.models.registry import MODELS, family_of

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch and transformers warn about each other
    pytest.mark.usefixtures("one_thread"),
]


def halved(folder: Path) -> None:
    layouts.change(
        folder, lambda weights: weights.update({n: w.half() for n, w in weights.items()})
    )


def released(folder: Path) -> None:
    layouts.released_mamba(folder)
    layouts.pickled(folder)
    layouts.converted(folder)
    layouts.laid_out("mamba", folder)


def transformers_mamba2(folder: Path) -> None:
    layouts.transformers_mamba2(folder)
    layouts.sharded(folder)
    layouts.laid_out("mamba2", folder)


def masks_in_shards(folder: Path) -> None:
    layouts.with_masks(folder)
    layouts.sharded(folder)


WAYS: list[tuple[str, Callable[[Path], None], str, dict[str, Any]]] = [
    ("mamba", released, "lora-all", {}),
    ("mamba", layouts.older_mamba, "full", {}),
    ("mamba2", transformers_mamba2, "lora-w", {}),
    ("gpt-neox", masks_in_shards, "lora-all", {}),
    ("phi", halved, "lora-all", {}),
    ("llama", layouts.with_angles, "full", {"tie_word_embeddings": True}),
]


def answers(
    folder: Path, wheel: Path, tuned: Path | None = None, recipe: Recipe | None = None
) -> Any:
    job = evaluate_jobs.job(shots=(0,), tuned=recipe)
    inputs = Inputs(checkpoint=folder, data=wheel, tuned=tuned)
    return evaluate.run(job, inputs, tiny_tuning.silent).arrays["shots0/log_likelihood"]


@pytest.mark.parametrize(("family", "change", "method", "changes"), WAYS)
def test_evaluate_tune_merge_and_evaluate(
    family: str,
    change: Callable[[Path], None],
    method: Any,
    changes: dict[str, Any],
    tiny_wheel: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "checkpoint"
    layouts.saved(family, folder, **changes)
    plain = answers(folder, tiny_wheel)
    change(folder)
    before = answers(folder, tiny_wheel)
    assert np.array_equal(before, plain) == (change is not halved)

    recipe = tiny_tuning.recipe(method=method, learning_rate=0.02, max_length=32)
    data = tiny_tuning.rows(tmp_path, 8)
    tuned = tiny_tuning.run(recipe, data, tmp_path / "work", folder)
    assert tuned.values["finite"] == 1
    assert tuned.arrays["moved"].all()
    assert tuned.model is not None
    apart = answers(folder, tiny_wheel, tuned.model, recipe)
    assert np.abs(apart - before).max() > 0.01

    found = answers(merged(folder, tuned.model, tmp_path / "merged"), tiny_wheel)
    if method == "full":
        assert np.array_equal(found, apart)
    else:
        np.testing.assert_allclose(found, apart, rtol=1e-5)


def merged(folder: Path, tuned: Path, out: Path) -> Path:
    """A plain checkpoint of a layout that is loaded, with what was trained in its weights."""
    family = family_of(folder)
    model: Any = MODELS[family].load(folder, torch.float32, "eager", remote_code=False)
    tuned_weights.attach(model, tuned, mamba_path="slow")
    layers = {
        name: each for name, each in model.named_modules() if isinstance(each, BaseTunerLayer)
    }
    for name, layer in layers.items():
        layer.merge()
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, layer.get_base_layer())
    save = partial(mamba2_checkpoint.save, model) if family == "mamba2" else model.save_pretrained
    save(out)
    for file in TOKENIZER:
        if (folder / file).is_file():
            shutil.copy(folder / file, out)
    return out
