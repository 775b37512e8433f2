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
from torch import Tensor, nn
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
    widens: tuple[str, ...] = ()
    """`model_type` of those whose own forward casts the logits to float32."""

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

    def _widened(self, model: PreTrainedModel, logits: Tensor) -> Tensor:
        """Logits in the dtype that the model's own forward gives them."""
        return logits.float() if model.config.model_type in self.widens else logits


class AttentionModel(TransformersModel):
    """With keys and values as state, in the nested tuples that every such model still takes.

    transformers 4.40.0 appends to them by making longer tensors, so that they never change.
    """

    @torch.no_grad()
    def continued(
        self, model: PreTrainedModel, tokens: Tensor, state: KeysAndValues | None
    ) -> tuple[Tensor, KeysAndValues]:
        """As `ModelFamily.continued` says."""
        body = _body(model)
        given = (body or model)(tokens, past_key_values=state, use_cache=True)
        hidden: Tensor = given.last_hidden_state if body else given.logits
        return hidden, tuple((keys, values) for keys, values in given.past_key_values)

    @torch.no_grad()
    def head(self, model: PreTrainedModel, hidden: Tensor) -> Tensor:
        """As `ModelFamily.head` says."""
        if _body(model) is None:
            return hidden
        layer = model.get_output_embeddings()
        if layer is None:  # OpenELM multiplies by the weight of its embedding
            return nn.functional.linear(hidden, model.get_input_embeddings().weight)
        return self._widened(model, layer(hidden))


def _body(model: PreTrainedModel) -> PreTrainedModel | None:
    """The model without its output layer.

    None where a checkpoint's own code has none that gives hidden states (OLMo's): there its logits
    stand in for them, which costs the head at every token and changes no number.
    """
    body = model.base_model
    return body if body is not model and isinstance(body, PreTrainedModel) else None


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
