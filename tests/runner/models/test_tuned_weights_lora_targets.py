"""What each method trains of each family, in every layout that is loaded.

Oracles: a model's own list of linear layers; Appendices D and F of the paper for who has SLL and W;
`AdapterWatch` for what learned.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import tiny_models
import tiny_tuning
import torch
from saved_models import (
    Saved,
    modules_cache,  # noqa: F401 - a fixture that the next needs
    saved_checkpoints,  # noqa: F401 - the same
)
from torch import nn

from repro.errors import CannotRunError
from repro.schema.families import FAMILIES
from repro.schema.jobs import Method
from runner.models.mamba_paths import set_path
from runner.models.registry import MODELS
from runner.tuning import finetune
from runner.tuning.adapters import AdapterWatch, tensors_not_learning

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other

LAYOUTS = [(name, each) for name, family in FAMILIES.items() for each in family.layouts]
SAVED = {"Mamba2": "mamba2", "gpt_neox": "gpt-neox"}
"""Layouts that `tiny_models` calls otherwise."""
NAMED: dict[str, tuple[str, ...]] = {
    "lora-sll": ("mamba", "gpt-neox"),
    "lora-w": ("mamba", "mamba2"),
    "lora-not-w": ("mamba", "mamba2"),
}
"""Methods that the paper defines for some families only."""
W = {"mamba": "x_proj", "mamba2": "in_proj"}


def loaded(family: str, layout: str, saved: Saved) -> Any:
    folder, _ = saved(SAVED.get(layout, layout))
    return MODELS[family].load(folder, torch.float32, "eager", remote_code=True)


def linear(model: Any) -> Iterator[str]:
    """Names of the linear layers but the output layer."""
    for name, module in model.named_modules():
        output = name == "head" or module is model.get_output_embeddings()
        if isinstance(module, nn.Linear) and not output:
            yield name


def learn(model: Any) -> Any:
    """Two steps of language modelling."""
    watch = AdapterWatch(model)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    ids = tiny_models.tokens(12)
    for _ in range(2):
        logits = model(input_ids=ids).logits[:, :-1].flatten(0, 1)
        nn.functional.cross_entropy(logits, ids[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return watch.result()


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize(("family", "layout"), LAYOUTS)
def test_every_method_trains_every_layout(
    family: str, layout: str, method: Method, saved: Saved
) -> None:
    model = loaded(family, layout, saved)
    asked = tiny_tuning.recipe(method=method, rank=2)
    if family not in NAMED.get(method, (family,)):
        with pytest.raises(CannotRunError, match=f"{method} is not defined for the .* {family}"):
            finetune.adapted(model, asked)
        return
    blocks = set(linear(model))
    trained = finetune.adapted(model, asked)
    set_path(trained, "slow")
    learning = learn(trained.train())
    assert tensors_not_learning(learning) == []
    assert all(each.moved for each in learning)
    if method == "full":
        assert len(learning) == len(list(model.parameters()))
        return
    names = {
        each.name.partition(".lora_")[0].removeprefix("base_model.model.") for each in learning
    }
    if method == "lora-w":
        blocks = {name for name in blocks if name.endswith(W[family])}
    elif method == "lora-not-w":
        blocks = {name for name in blocks if not name.endswith(W[family])}
    if method == "lora-sll":
        assert names - blocks == {  # and the embedding
            {"mamba": "backbone.embeddings", "gpt-neox": "gpt_neox.embed_in"}[family]
        }
        assert names & blocks  # Mamba's list leaves out dt_proj
    else:
        assert names == blocks


def test_olmo_of_transformers_is_tuned_and_asked_again(saved: Saved, tmp_path: Path) -> None:
    """The layout that `repro pin --layout olmo` makes and the README loads, through the job."""
    folder, _ = saved("olmo")
    data = tiny_tuning.rows(tmp_path, 8)  # two steps
    asked = tiny_tuning.recipe(method="lora-all", max_length=16)
    found = tiny_tuning.run(asked, data, tmp_path / "work", folder)
    assert found.warnings == ()
    assert found.arrays["moved"].all()
    model = MODELS["olmo"].load(folder, torch.float32, "eager", remote_code=False)
    from runner.models import tuned_weights

    tuned_weights.attach(model, tmp_path / "work" / "model", mamba_path="slow")


def test_a_code_without_these_layers_is_one_message(saved: Saved) -> None:
    model = loaded("llama", "llama", saved)
    del model.model.layers[0].mlp.up_proj, model.model.layers[1].mlp.up_proj
    with pytest.raises(CannotRunError, match="no module called up_proj"):
        finetune.adapted(model, tiny_tuning.recipe(method="lora-all"))
