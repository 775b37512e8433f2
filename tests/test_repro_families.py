"""What `repro.families` says of each family. Oracle: the pinned transformers' own models.

Not checked: hf_olmo's and OpenELM's own code, which is remote; transformers' OLMo names its parts
otherwise.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import tiny_models
import torch
from transformers import CONFIG_MAPPING

from repro.families import FAMILIES, named_by

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other

KNOWN = ("mamba", "mamba2", "gpt-neox", "phi", "llama")


def widens(family: str) -> bool:
    """Whether a model in bfloat16 returns logits in float32."""
    model = tiny_models.model(family).to(torch.bfloat16)
    with torch.no_grad():
        return bool(model(tiny_models.tokens(6)).logits.dtype == torch.float32)


@pytest.mark.parametrize("family", KNOWN)
def test_logits_are_widened_where_it_says_so(family: str) -> None:
    assert widens(family) == (FAMILIES[family].logits == "widened")


def test_the_two_codes_of_olmo_differ_in_their_logits() -> None:
    """hf_olmo's, which the family describes, are as computed."""
    assert FAMILIES["olmo"].logits == "as computed"
    assert widens("olmo")


@pytest.mark.parametrize("family", KNOWN)
def test_all_lora_names_every_linear_layer_of_a_block_and_no_other(family: str) -> None:
    model = tiny_models.model(family)
    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    assert set(FAMILIES[family].lora_all) == linear


@pytest.mark.parametrize("family", KNOWN)
def test_sll_lora_and_the_embedding_name_modules_that_are_there(family: str) -> None:
    model = tiny_models.model(family)
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    assert set(FAMILIES[family].lora_sll) <= modules
    assert FAMILIES[family].embedding in dict(model.named_parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_own_code_is_for_what_transformers_lacks(family: str) -> None:
    known = FAMILIES[family]
    if known.layout == "transformers":
        lacking = tuple(name for name in known.config if name not in CONFIG_MAPPING)
        assert known.own_code == lacking


@pytest.mark.parametrize("family", tiny_models.CONFIGS)
def test_a_configuration_names_its_family(family: str) -> None:
    assert named_by(tiny_models.CONFIGS[family].to_dict()) == family


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
        ({"model_type": ["mamba"]}, None),
        ({}, None),
    ],
)
def test_a_family_is_told_by_either_layout(config: Mapping[str, Any], family: str | None) -> None:
    assert named_by(config) == family
