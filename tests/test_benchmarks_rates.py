"""`benchmarks.rates` on tiny models: every family can be measured as the paper's are."""

import argparse
import time

import pytest
from transformers import GPTNeoXConfig, LlamaConfig, MambaConfig, OlmoConfig, PhiConfig

from benchmarks import rates
from runner.models.mamba2_config import Mamba2Config
from runner.models.openelm_config import OpenELMConfig

WIDE = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 2048}
ATTENTION = WIDE | {"num_attention_heads": 2, "intermediate_size": 64}
TINY = {
    "mamba": MambaConfig(**WIDE),
    "mamba2": Mamba2Config(d_model=32, n_layer=2, vocab_size=2048, pad_vocab_size_multiple=16),
    "gpt-neox": GPTNeoXConfig(**ATTENTION),
    "olmo": OlmoConfig(**ATTENTION),
    "phi": PhiConfig(**ATTENTION),
    "llama": LlamaConfig(**ATTENTION),
    "openelm": OpenELMConfig(
        model_dim=32, num_transformer_layers=2, head_dim=8, vocab_size=2048, num_gqa_groups=1
    ),
}


@pytest.mark.parametrize("family", TINY)
def test_every_family_is_measured(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "CONFIGURATIONS", TINY)
    asked = argparse.Namespace(what=["pass", "step"], dtypes=["float32"], data=None)
    found = [*rates.measured(family, asked, time.monotonic() + 100)]
    assert {each["family"] for each in found} == {family}
    kinds = [each["what"] for each in found]
    assert kinds == ["built", "step", "step", *["pass"] * (2 if family == "mamba" else 1)]
    full, lora, one = found[1:4]
    assert full["trainable"] == full["parameters"] > lora["trainable"] > 0
    assert full["step"] > 0 < lora["step"]
    assert all(one[name] > 0 for name in ("call", "behind_call", "from_zero", "behind", "stock"))
