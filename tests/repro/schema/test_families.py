"""What `repro.schema.families` says of each family. Oracle: the models themselves."""

from collections.abc import Mapping
from typing import Any

import pytest
import tiny_models
import torch

from repro.schema.families import FAMILIES, family_named

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other

LAYOUTS = {
    (name, layout): known
    for name, family in FAMILIES.items()
    for layout, known in family.layouts.items()
    if layout != "hf_olmo"  # renamed into the other layout of OLMo: `test_registry`
}


def widens(family: str) -> bool:
    """Whether a model in bfloat16 returns logits in float32."""
    model = tiny_models.model(family).to(torch.bfloat16)
    with torch.no_grad():
        return bool(model(tiny_models.tokens(6)).logits.dtype == torch.float32)


@pytest.mark.parametrize(("family", "layout"), LAYOUTS)
def test_logits_are_widened_where_it_says_so(family: str, layout: str) -> None:
    assert widens(family) == (LAYOUTS[family, layout].logits == "widened")


@pytest.mark.parametrize(("family", "layout"), LAYOUTS)
def test_all_lora_names_every_linear_layer_of_a_block_and_no_other(
    family: str, layout: str
) -> None:
    model = tiny_models.model(family)
    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    assert set(LAYOUTS[family, layout].lora_all) == linear


@pytest.mark.parametrize(("family", "layout"), LAYOUTS)
def test_sll_lora_w_and_the_embedding_name_modules_that_are_there(family: str, layout: str) -> None:
    model, known = tiny_models.model(family), LAYOUTS[family, layout]
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    assert {*known.lora_sll, known.lora_w} - {""} <= modules
    assert known.embedding in dict(model.named_parameters())


@pytest.mark.parametrize("family", tiny_models.CONFIGS)
def test_a_configuration_names_its_family(family: str) -> None:
    assert family_named(tiny_models.CONFIGS[family].to_dict()) == family


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "hf_olmo"}, "olmo"),
        ({"model_type": "openelm"}, "openelm"),
        ({"ssm_cfg": {"layer": "Mamba2"}}, "mamba2"),
        ({"ssm_cfg": {"layer": "Mamba2"}, "model_type": "mamba"}, "mamba2"),
        ({"ssm_cfg": {}, "model_type": "mamba"}, None),
        ({"ssm_cfg": None, "model_type": "mamba"}, None),
        ({"model_type": "Mamba2"}, None),
        ({"model_type": "Mamba2", "auto_map": {"AutoConfig": "x.X"}}, "own-code"),
        ({"model_type": "phi", "auto_map": {"AutoConfig": "x.X"}}, "phi"),
        ({"ssm_cfg": {}, "auto_map": {"AutoConfig": "x.X"}}, None),
        ({"model_type": ["mamba"]}, None),
        ({}, None),
    ],
)
def test_a_family_is_told_by_either_layout(config: Mapping[str, Any], family: str | None) -> None:
    assert family_named(config) == family
