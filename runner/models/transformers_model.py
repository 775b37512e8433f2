"""Models of transformers, as lm-eval's `HFLM` would load them from the same folder.

The arguments of `from_pretrained` are HFLM's: a cast by `torch_dtype`, a `device_map` of one
device. Added are safetensors only, a check that every weight came from the checkpoint, and a rule
on code: a model type that transformers has itself is loaded by transformers, whatever the folder
brings along; other code runs only where it is allowed, and only from the folder itself.

Reference: transformers 4.40.0; lm-eval 0.4.2, `HFLM._create_model`.
Not covered: what the folder's code does once it runs. It chooses its own attention.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    dynamic_module_utils,
)

from repro import remote_code as own_code
from repro.errors import BadInputError, CannotRunError, Problem
from repro.families import FAMILIES
from repro.jobs import Attention
from runner import kernels
from runner.models.config_file import read

KeysAndValues = tuple[tuple[Tensor, Tensor], ...]
"""Of each block: keys and values, (batch, heads, tokens, width of a head) each."""


@dataclass(frozen=True)
class TransformersModel:
    """Loading and logits, the same for every family; what a prefix leaves is a subclass's."""

    name: str
    """Key in `FAMILIES`."""

    def load(
        self, folder: Path, dtype: torch.dtype, attention: Attention, *, remote_code: bool
    ) -> PreTrainedModel:
        """As `ModelFamily.load` says."""
        trusted = runs_own_code(folder, self.name, allowed=remote_code)
        if trusted:
            _use_an_empty_code_folder()
            kernel: Attention = "eager"  # its own code chooses; this is what all of them accept
        else:
            config = AutoConfig.from_pretrained(str(folder))
            kernel = kernels.possible_attention(config, attention, dtype)
        try:
            model, loading = AutoModelForCausalLM.from_pretrained(
                str(folder),
                torch_dtype=dtype,
                device_map={"": str(kernels.device())},
                trust_remote_code=trusted,
                attn_implementation=kernel,
                use_safetensors=True,
                output_loading_info=True,
            )
        except ImportError as error:
            found = str(error).partition(". Run")[0]  # what follows may name a stranger's package
            message = f"the Python code of {folder.name} cannot be imported: {found}"
            raise CannotRunError(message) from error
        _refuse_missing(folder, loading)
        return model

    def logits(self, model: PreTrainedModel, tokens: Tensor) -> Tensor:
        """As `ModelFamily.logits` says."""
        with torch.no_grad():
            logits: Tensor = model(tokens).logits
        return logits


class AttentionModel(TransformersModel):
    """With keys and values as state, in the nested tuples that every such model still takes.

    transformers 4.40.0 appends to them by making longer tensors, so that they never change.
    """

    def prefix(self, model: PreTrainedModel, tokens: Tensor) -> KeysAndValues:
        """As `ModelFamily.prefix` says."""
        with torch.no_grad():
            return tuple(
                (keys, values) for keys, values in model(tokens, use_cache=True).past_key_values
            )

    def after_prefix(self, model: PreTrainedModel, tokens: Tensor, state: KeysAndValues) -> Tensor:
        """As `ModelFamily.after_prefix` says."""
        with torch.no_grad():
            logits: Tensor = model(tokens, past_key_values=state, use_cache=True).logits
        return logits


_CODE: "list[TemporaryDirectory[str]]" = []
"""Folders that transformers copies a checkpoint's code to; gone when the process ends."""


def _use_an_empty_code_folder() -> None:
    """Transformers names the copy for the checkpoint's folder: an older one could run instead."""
    _CODE.append(TemporaryDirectory(prefix="own-code-"))
    dynamic_module_utils.HF_MODULES_CACHE = _CODE[-1].name


def runs_own_code(folder: Path, family: str, *, allowed: bool) -> bool:
    """Whether loading a folder as one of a family runs Python code that lies in it.

    Raises:
        BadInputError: it takes code and is not allowed to, or the code lies elsewhere.
    """
    if read(folder).get("model_type") not in FAMILIES[family].own_code:
        return False
    if not allowed:
        found = "a model that the Python code beside it loads"
        expected = "a model of transformers; add --allow-remote-code if the code is to run"
        problem = Problem(f"{folder / 'config.json'}: $.model_type", found, expected)
        message = f"{folder.name} is not loaded: that would run its own code"
        raise BadInputError(message, [problem])
    own_code.of_folder(folder, folder.name)  # refuses what is not in the folder
    return True


def _refuse_missing(folder: Path, loading: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that leaves weights at random."""
    missing = sorted(loading["missing_keys"])
    if missing:
        found = f"no {', '.join(missing[:3])}" + (" ..." if missing[3:] else "")
        problem = Problem(str(folder), found, "every weight of the model in its config")
        message = f"the checkpoint lacks {len(missing)} weights, which would be random"
        raise BadInputError(message, [problem])
