"""What `repro.families` says of each family. Oracle: the pinned transformers' own models.

Not checked: OLMo's and OpenELM's own code, which is remote; transformers' OLMo names its parts
otherwise.
"""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    OlmoConfig,
    PhiConfig,
)

from repro.families import FAMILIES
from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_config import Mamba2Config

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other

COMMON = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2}
HEADS = {**COMMON, "num_attention_heads": 2, "intermediate_size": 48}
CONFIGS: dict[str, Any] = {
    "mamba": MambaConfig(**COMMON, state_size=4),
    "gpt-neox": GPTNeoXConfig(**HEADS),
    "phi": PhiConfig(**HEADS),
    "llama": LlamaConfig(**HEADS),
}
IDS = torch.tensor([[3, 17, 60, 2, 9, 33]])


def build(family: str, attention: str = "eager") -> Any:
    torch.manual_seed(1)
    if family == "mamba2":
        config = Mamba2Config(
            d_model=32, n_layer=2, vocab_size=64, ssm_cfg={"layer": "Mamba2", "headdim": 16}
        )
        return Mamba2ForCausalLM(config).eval()
    config = CONFIGS[family]
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


@pytest.mark.parametrize("family", [*CONFIGS, "mamba2"])
def test_logits_are_widened_where_it_says_so(family: str) -> None:
    model = build(family).to(torch.bfloat16)
    with torch.no_grad():
        logits = model(IDS).logits
    expected = torch.float32 if FAMILIES[family].logits == "widened" else torch.bfloat16
    assert logits.dtype == expected


@pytest.mark.parametrize("family", [*CONFIGS, "mamba2"])
def test_all_lora_names_every_linear_layer_of_a_block_and_no_other(family: str) -> None:
    model = build(family)
    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    assert set(FAMILIES[family].lora_all) == linear


@pytest.mark.parametrize("family", [*CONFIGS, "mamba2"])
def test_sll_lora_and_the_embedding_name_modules_that_are_there(family: str) -> None:
    model = build(family)
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    assert set(FAMILIES[family].lora_sll) <= modules
    assert FAMILIES[family].embedding in dict(model.named_parameters())


@pytest.mark.parametrize("family", CONFIGS)
def test_the_configuration_is_told_by_its_model_type(family: str) -> None:
    assert CONFIGS[family].model_type in FAMILIES[family].config


@pytest.mark.parametrize("config", [CONFIGS["llama"], CONFIGS["phi"], OlmoConfig(**HEADS)])
def test_attention_kernels_agree_in_float32(config: Any) -> None:
    """Two ways to add up six products of float32: 1e-6 of the largest logit."""
    logits = []
    for kernel in ("eager", "sdpa"):
        torch.manual_seed(1)
        try:
            model = AutoModelForCausalLM.from_config(config, attn_implementation=kernel).eval()
        except ValueError as error:
            assert "scaled_dot_product_attention" in str(error)  # noqa: PT017 - the pins have none
            pytest.skip(f"transformers 4.40.0 has no sdpa for {config.model_type}")
        with torch.no_grad():
            logits.append(model(IDS).logits)
    torch.testing.assert_close(*logits, rtol=0, atol=1e-6 * float(logits[0].abs().max()) + 1e-7)
