"""Models of transformers, as lm-eval's `HFLM` would load them from the same folder.

The arguments of `from_pretrained` are HFLM's: a cast by `torch_dtype`, a `device_map` of one
device. Added are safetensors only, a check that every weight came from the checkpoint, and a rule
on code: a model type that transformers has itself is loaded by transformers, whatever the folder
brings along; other code runs only where it is allowed, and only from the folder itself.

A file of weights needs no metadata: transformers wants a word in it that says nothing about them.

Reference: transformers 4.40.0; lm-eval 0.4.2, `HFLM._create_model`.
Not covered: what the folder's code does once it runs. It chooses its own attention.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from unittest import mock

import torch
from safetensors import safe_open
from safetensors.torch import load_file as safetensors_load
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    OlmoConfig,
    PretrainedConfig,
    PreTrainedModel,
    dynamic_module_utils,
    modeling_utils,
)
from transformers.modeling_utils import no_init_weights
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXAttention
from transformers.utils.hub import get_checkpoint_shard_files

from repro.errors import BadInputError, Problem
from repro.inputs import remote_code as own_code
from repro.schema.families import OWN_CODE, renamed_tensors, unused_tensors
from repro.schema.jobs import Attention
from repro.weights import checkpoint_files, foreign_json, loadable, olmo
from repro.weights.checkpoint_files import Tensors
from repro.weights.loadable import CONFIG
from runner.models import checkpoint_checks, kernels

_LARGEST_BUFFERS = 1 << 32
"""Bytes of masks and tables of angles, which follow from config.json alone."""

KeysAndValues = tuple[tuple[Tensor, Tensor], ...]
"""Of each block: keys and values, (batch, heads, tokens, width of a head) each."""


@dataclass(frozen=True)
class TransformersModel:
    """Loading, the same for every family; what a prefix leaves is a subclass's."""

    name: str
    """Key in `FAMILIES`."""
    widens: tuple[str, ...] = ()
    """`model_type` of those whose own forward casts the logits to float32."""

    def load(
        self, folder: Path, dtype: torch.dtype, attention: Attention, *, remote_code: bool
    ) -> PreTrainedModel:
        """As `ModelFamily.load` says."""
        code = own_code_of(folder, self.name, allowed=remote_code)
        with loadable.private_copy(folder, code=code) as own:
            stored = checkpoint_files.stored_tensors(own)
            kernel: Attention = "eager"  # its own code chooses; this is what all of them accept
            if code:
                _use_an_empty_code_folder()
            else:
                config = self.checked(own, stored)
                kernel = kernels.possible_attention(config, attention, dtype)
            with checkpoint_checks.checkpoint_errors(own), _as_named_today(_renamed(own)):
                model, loading = AutoModelForCausalLM.from_pretrained(
                    str(own),
                    torch_dtype=dtype,
                    device_map={"": str(kernels.device())},
                    trust_remote_code=bool(code),
                    attn_implementation=kernel,
                    use_safetensors=True,
                    output_loading_info=True,
                )
            _refuse_missing(own, loading)
            if code:  # only now is there a model to hold it to
                checkpoint_checks.check_stored(own, stored, model, _unused(own), _renamed(own))
        return model

    def checked(self, folder: Path, stored: Tensors) -> PretrainedConfig:
        """The configuration in a private folder, if the stored tensors are those of its model.

        Raises:
            BadInputError: they are not, or there is no such model.
        """
        with checkpoint_checks.checkpoint_errors(folder):
            config = AutoConfig.from_pretrained(str(folder))
        self._hold(folder, config, stored)
        return config

    def _hold(self, folder: Path, config: PretrainedConfig, stored: Tensors) -> None:
        """Refuse stored tensors that are not those of a configuration's model."""
        with checkpoint_checks.checkpoint_errors(folder):
            checkpoint_checks.check_layers(folder, config.num_hidden_layers, stored)
            with torch.device("meta"), no_init_weights():
                model = AutoModelForCausalLM.from_config(
                    config, attn_implementation="eager", trust_remote_code=False
                )
            model.tie_weights()
            buffers = sum(each.numel() * each.element_size() for each in model.buffers())
        if buffers > _LARGEST_BUFFERS:
            found = f"a model with {buffers / 1e9:,.1f} GB beside its weights"
            expected = f"at most {_LARGEST_BUFFERS / 1e9:.0f}: fewer positions"
            raise checkpoint_checks.refused(folder / CONFIG, found, expected)
        checkpoint_checks.check_stored(folder, stored, model, _unused(folder), _renamed(folder))

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
        return self._widened(model, model.get_output_embeddings()(hidden))


def _body(model: PreTrainedModel) -> PreTrainedModel | None:
    """The model without its output layer.

    None where a checkpoint's own code has none that gives hidden states: there its logits stand in
    for them, which costs the head at every token and changes no number.
    """
    body = model.base_model
    return body if body is not model and isinstance(body, PreTrainedModel) else None


# -----------------------------------------------------------------------------
# Around transformers' own loading


class _Stored:
    """A safetensors file as transformers opens it, whose metadata may be any, or none."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  # as given
        self._open: Any = safe_open(*args, **options)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        self._file = self._open.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(*error)

    def metadata(self) -> dict[str, str]:
        """What transformers asks for; names and shapes have been held to the model."""
        found = self._file.metadata() or {}
        if found.get("format") in ("tf", "flax"):
            message = f"weights of another framework, {found['format']}"
            raise ValueError(message)
        return {**found, "format": "pt"}


@contextmanager
def _as_named_today(renamed: Mapping[str, str]) -> Iterator[None]:
    """Transformers' reading of weights, with names of older versions made today's.

    Its Mamba has a hook for them, which a `device_map` passes by: the embedding would be random.
    """

    def load_file(path: str) -> dict[str, Tensor]:
        return {renamed.get(name, name): each for name, each in safetensors_load(path).items()}

    def shard_files(*given: Any, **options: Any) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401
        files, index = get_checkpoint_shard_files(*given, **options)
        named = {renamed.get(name, name): file for name, file in index["weight_map"].items()}
        return files, {**index, "weight_map": named, "all_checkpoint_keys": list(named)}

    with (
        mock.patch.object(modeling_utils, "safe_open", _Stored),
        mock.patch.object(modeling_utils, "safe_load_file", load_file),
        mock.patch.object(modeling_utils, "get_checkpoint_shard_files", shard_files),
    ):
        yield


_CODE: "list[TemporaryDirectory[str]]" = []
"""Folders that transformers copies a checkpoint's code to; gone when the process ends."""


def _use_an_empty_code_folder() -> None:
    """Transformers names the copy for the checkpoint's folder: an older one could run instead."""
    _CODE.append(TemporaryDirectory(prefix="own-code-"))
    dynamic_module_utils.HF_MODULES_CACHE = _CODE[-1].name


def own_code_of(folder: Path, family: str, *, allowed: bool) -> list[str]:
    """Python files of a folder that loading it as one of a family executes.

    Raises:
        BadInputError: it takes code and is not allowed to, or the code lies elsewhere.
    """
    if family != OWN_CODE:
        return []
    if not allowed:
        what = "a model that the Python code beside it loads"
        expected = "a family that is known; add --allow-remote-code if the code is to run"
        problem = Problem(f"{folder / CONFIG}: $.model_type", what, expected)
        message = f"{folder.name} is not loaded: that would run its own code"
        raise BadInputError(message, [problem])
    found = own_code.code_digests(folder, folder.name)  # refuses what is not in the folder
    return [name for name in found if name.endswith(".py")]


def _unused(folder: Path) -> tuple[str, ...]:
    return unused_tensors(foreign_json.read(folder / CONFIG))


def _renamed(folder: Path) -> Mapping[str, str]:
    return renamed_tensors(foreign_json.read(folder / CONFIG))


def _refuse_missing(folder: Path, loading: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that leaves weights at random."""
    missing = sorted(loading["missing_keys"])
    if missing:
        found = f"no {', '.join(missing[:3])}" + (" ..." if missing[3:] else "")
        problem = Problem(str(folder), found, "every weight of the model in its config")
        message = f"the checkpoint lacks {len(missing)} weights, which would be random"
        raise BadInputError(message, [problem])


# -----------------------------------------------------------------------------
# The families with attention
#
# transformers 4.40.0's own classes, whatever code a folder brings along.


class GPTNeoXModel(AttentionModel):
    """One whose blocks take keys and values without handing theirs on."""

    @torch.no_grad()
    def continued(
        self, model: PreTrainedModel, tokens: Tensor, state: KeysAndValues | None
    ) -> tuple[Tensor, KeysAndValues]:
        """As `ModelFamily.continued` says."""
        with mock.patch.object(GPTNeoXAttention, "_attn", attended):
            return super().continued(model, tokens, state)

    @torch.no_grad()
    def hidden(self, model: PreTrainedModel, tokens: Tensor, state: KeysAndValues | None) -> Tensor:
        """As `registry.hidden` says."""
        with mock.patch.object(GPTNeoXAttention, "_attn", attended):
            given = model.base_model(tokens, past_key_values=state, use_cache=False)
        hidden: Tensor = given.last_hidden_state
        return hidden


def attended(
    block: Any,  # noqa: ANN401 - transformers has no types
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    head_mask: None = None,
) -> tuple[Tensor, Tensor]:
    """What `GPTNeoXAttention._attn` gives, with less memory traffic and without a wait.

    That one copies the value of a masked score to the GPU in each block, which waits for it, and
    adds the product to zeros that it has written. Not covered: head masks.

    Args:
        block: Whose causal mask and dropout are taken.
        query: (batch, heads, length, width of a head).
        key: (batch, heads, all, width): those of a state before those of the query's tokens.
        value: As the keys.
        attention_mask: Is added to the scores.
        head_mask: None.

    Returns:
        (batch, heads, length, width), and the weights of each sum, (batch, heads, length, all).
    """
    del head_mask
    (*rows, new, _), whole = query.shape, key.shape[-2]
    if whole > block.bias.shape[-1]:
        block._init_bias(whole, device=key.device)  # noqa: SLF001 - as the stock forward does
    products = torch.baddbmm(
        query.new_empty(1, 1, 1), query.flatten(0, 1), key.flatten(0, 1).mT,
        beta=0, alpha=block.norm_factor,
    )  # fmt: skip
    scores = products.unflatten(0, rows)
    fill = scores.new_full((), torch.finfo(scores.dtype).min)  # made where it is, by a kernel
    scores = torch.where(block.bias[..., whole - new : whole, :whole], scores, fill)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = block.attention_dropout(functional.softmax(scores, dim=-1).to(value.dtype))
    return torch.matmul(weights, value), weights


class OlmoModel(AttentionModel):
    """Either of its layouts by one class, whose LayerNorm has no weights, in float32.

    olmo is transformers' own; hf_olmo, as published, is renamed and cut in memory. The same weights
    give the same bits in both. Differs: hf_olmo rotates in float32 and does not widen its logits.
    """

    def load(
        self, folder: Path, dtype: torch.dtype, attention: Attention, *, remote_code: bool
    ) -> PreTrainedModel:
        """As `ModelFamily.load` says."""
        if foreign_json.read(folder / CONFIG).get("model_type") != "hf_olmo":
            return super().load(folder, dtype, attention, remote_code=remote_code)
        with loadable.private_copy(folder) as own, checkpoint_checks.checkpoint_errors(own):
            stored = checkpoint_files.stored_tensors(own)
            said = olmo.checked(foreign_json.read(own / CONFIG), own / CONFIG)
            rows = olmo.renamed(stored, said, own)
            config = OlmoConfig.from_dict(olmo.new_config(said))
            new = {
                name: {**stored[old], "shape": [count, *stored[old]["shape"][1:]]}
                for name, (old, _, count) in rows.items()
            }
            self._hold(own, config, new)
            kernel = kernels.possible_attention(config, attention, dtype)
            with no_init_weights():
                model = AutoModelForCausalLM.from_config(
                    config, torch_dtype=dtype, attn_implementation=kernel
                )
            weights = dict(checkpoint_checks.stored_tensors(own))
            for name, (old, first, count) in rows.items():
                model.get_parameter(name).data.copy_(weights[old][first : first + count])
        model.tie_weights()
        return model.eval().to(kernels.device())


GPT_NEOX = GPTNeoXModel("gpt-neox")
"""Pythia: eager attention and FlashAttention 2, no SDPA. Scores, softmax and logits stay in the
dtype of the weights. LayerNorm in FP16 on a CPU: `runner.models.precision`."""

LLAMA = AttentionModel("llama", widens=("llama",))
"""TinyLlama, SmolLM2: all three attention kernels. Eager scores are rounded to the dtype of the
weights; their softmax is taken in float32, norms too."""

OLMO = OlmoModel("olmo", widens=("olmo",))
"""All three attention kernels."""

OWN = AttentionModel(OWN_CODE)
"""What nobody has written here: its code chooses its own attention."""

PHI = AttentionModel("phi", widens=("phi",))
"""Phi-1.5: all three attention kernels. Eager attention widens queries and keys, so that scores and
softmax are float32 (FP16 overflowed without); the other two take them as they are."""
