"""A tiny checkpoint of every family and layout: asked, tuned, merged and asked again.

Oracles: the model's own answers before it was tuned; PEFT's merge, after which no adapter is left
to be passed by; for OLMo the other layout, to the bit. A merge adds the same float32 numbers in
another order: 1e-4 nats, where a tuned model differs from the untuned by a hundred times that.
"""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import tiny_tuning
import torch
import written_layouts as layouts
from peft.tuners.tuners_utils import BaseTunerLayer
from saved_models import (
    Saved,
    job,
    modules_cache,  # noqa: F401 - a fixture that the next needs
    saved_checkpoints,  # noqa: F401 - the same
)

from repro.inputs import entries
from repro.schema.families import FAMILIES
from repro.weights import olmo
from runner.evaluation import loading

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch and transformers warn about each other
    pytest.mark.usefixtures("one_thread"),
]

LAYOUTS = [each for family in FAMILIES.values() for each in family.layouts]
SAVED = {"Mamba2": "mamba2", "gpt_neox": "gpt-neox"}
"""Layouts that `tiny_models` calls otherwise."""
PAIRS = [(f"What is {n} and {n}?\nAnswer:", f" {letter}") for n in range(4) for letter in "AB"]
RECIPE = tiny_tuning.recipe(method="lora-all", max_length=24, learning_rate=0.02)


def answers(lm: Any) -> Any:
    """Log-likelihoods of a few continuations, in nats."""
    from lm_eval.api.instance import Instance  # `runner` has imported its package by now

    asked = [Instance("loglikelihood", {}, pair, 0) for pair in PAIRS]
    return np.array([value for value, _ in lm.loglikelihood(asked, disable_tqdm=True)])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_asked_tuned_merged_and_asked_again(
    layout: str, saved: Saved, tmp_path: Path
) -> None:
    folder, _ = saved(SAVED.get(layout, layout))
    plain = answers(loading.load(job(), folder))
    assert np.isfinite(plain).all()

    work = tmp_path / "work"
    found = tiny_tuning.run(RECIPE, tiny_tuning.rows(tmp_path, 8), work, folder)
    assert found.arrays["moved"].all()

    tuned = loading.load(job(tuned=RECIPE), folder, tuned=work / "model")
    apart = answers(tuned)
    adapted = [each for each in tuned.model.modules() if isinstance(each, BaseTunerLayer)]
    for each in adapted:
        each.merge()
    merged = answers(tuned)
    assert adapted
    np.testing.assert_allclose(merged, apart, rtol=0, atol=1e-4)
    assert np.abs(merged - plain).max() > 1e-2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_entry_of_the_catalog_is_made_of_every_layout(layout: str, saved: Saved) -> None:
    folder, model = saved(SAVED.get(layout, layout))
    found = entries.model_entry(folder, "mine")
    assert layout in FAMILIES[found.family].layouts
    assert found.parameters == sum(each.numel() for each in model.parameters())
    assert found.blocks == 2
    assert found.hidden_size == model.get_input_embeddings().weight.shape[1]
    assert found.heads == (None if "mamba" in found.family else 4 if layout == "openelm" else 2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shards_and_half_precision_on_disk_give_the_same_logits(
    layout: str, saved: Saved, tmp_path: Path
) -> None:
    """Weights that half precision has exactly; shards."""
    folder, _ = saved(SAVED.get(layout, layout))
    whole, apart = tmp_path / "whole", tmp_path / "apart"

    def rounded(weights: layouts.Tensors, back: bool) -> None:  # noqa: FBT001
        half = {name: each.bfloat16() for name, each in weights.items()}
        weights |= {name: each.float() for name, each in half.items()} if back else half

    for made in (whole, apart):
        shutil.copytree(folder, made)
        layouts.change(made, partial(rounded, back=made is whole))
    layouts.sharded(apart)
    ids = tiny_models.tokens(9)
    with torch.no_grad():
        one, other = (loading.load(job(), made).model(ids).logits for made in (whole, apart))
    assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("tied", [True, False])
def test_olmo_gives_the_same_bits_in_both_layouts(
    dtype: str, *, tied: bool, tmp_path: Path
) -> None:
    """As published, and as `repro convert --layout olmo` makes it."""
    published, converted = tmp_path / "published", tmp_path / "converted"
    tiny_models.save("hf_olmo", published, tie_word_embeddings=tied, num_key_value_heads=1)
    olmo.convert(published / "model.safetensors", converted)
    half = {"arm": "weight-cast"} if dtype != "float32" else {}
    one, other = (loading.load(job(dtype=dtype, **half), each) for each in (published, converted))
    assert type(one.model) is type(other.model)
    assert answers(one).tolist() == answers(other).tolist()
    ids = tiny_models.tokens(9)
    with torch.no_grad():
        assert torch.equal(one.model(ids).logits, other.model(ids).logits)
