"""Mamba-2 checkpoints in the official layout, with safetensors in place of the pickle.

A folder holds config.json as `MambaLMHeadModel` writes it, and `model.safetensors` or its shards
with `model.safetensors.index.json`. Names and shapes of tensors are those of the release. Where
the output layer is tied to the embedding, `lm_head.weight` may lack; if it is there, it must be the
embedding. Nothing is loaded before every name, shape and length has been checked, and no weight is
ever drawn at random.

Not covered: whether the numbers are those of a trained model.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PretrainedConfig

from repro.errors import BadInputError, Problem, save_errors
from repro.fileio import write_text
from repro.schema.families import FAMILIES
from repro.schema.jobs import Attention
from repro.weights import checkpoint_files, foreign_json, loadable
from repro.weights.loadable import CONFIG, INDEX, WEIGHTS
from runner.models import checkpoint_checks, kernels
from runner.models.mamba2 import Mamba2ForCausalLM, add_and_norm
from runner.models.mamba2_config import FIXED, Mamba2Config, config_problems
from runner.models.mamba2_mixer import Mamba2State, RMSNorm, by_our_kernels

PICKLE = "pytorch_model.bin"
EMBEDDING, HEAD = "backbone.embedding.weight", "lm_head.weight"

REQUIRED = ("d_model", "n_layer", "vocab_size")
"""Fields of config.json for which no default is taken."""

READ = {*Mamba2Config().official(), *FIXED}
BOOKKEEPING = PretrainedConfig().to_dict().keys() - {"tie_word_embeddings"}
"""Fields that transformers adds when it saves a model, none of which moves a number here."""


def stored_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype of a parameter in a model of `dtype`: FP32 for D in half precision.

    Reference: the table in `mamba2_mixer`.
    """
    half = dtype in (torch.float16, torch.bfloat16)
    wide = half and name.endswith(FAMILIES["mamba2"].layouts["Mamba2"].kept_wide)
    return torch.float32 if wide else dtype


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Mamba2ForCausalLM:
    """The model of a checkpoint folder, on the CPU, ready to be evaluated.

    Whatever dtype is stored is cast to `dtype`: float32, float16, bfloat16 or float64.

    Raises:
        BadInputError: naming every field, file and tensor that is wrong.
    """
    if not loadable.weights(folder):
        pickled = f"only {PICKLE}, a pickle, which is not opened"
        found = pickled if (folder / PICKLE).is_file() else "no weights"
        raise _refused(folder, Problem(str(folder), found, f"{WEIGHTS}, or {INDEX} and its shards"))
    config = _config(folder)
    with loadable.private_copy(folder) as own, checkpoint_checks.checkpoint_errors(own):
        return _loaded(own, config, dtype)


def _loaded(folder: Path, config: Mamba2Config, dtype: torch.dtype) -> Mamba2ForCausalLM:
    """The same, of a private folder."""
    stored = checkpoint_files.stored_tensors(folder)
    checkpoint_checks.check_layers(folder, config.n_layer, stored)
    with torch.device("meta"):
        model = Mamba2ForCausalLM(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    missing = shapes.keys() - stored.keys() - ({HEAD} if config.tie_embeddings else set())
    hint = f"{config.rows} rows: vocab_size {config.vocab_size} padded to a multiple of"
    advice = f"; an embedding of {hint} {config.pad_vocab_size_multiple}"
    if problems := list(
        checkpoint_checks.tensor_problems(folder, stored, shapes, missing, advice=advice)
    ):
        raise _refused(folder, *problems)
    weights = {
        name: tensor.to(stored_dtype(name, dtype))
        for name, tensor in checkpoint_checks.stored_tensors(folder)
    }
    if config.tie_embeddings:
        if not torch.equal(weights.get(HEAD, weights[EMBEDDING]), weights[EMBEDDING]):
            found = f"{HEAD} and {EMBEDDING} with different values"
            raise _refused(
                folder, Problem(str(folder), found, "equal ones: tie_embeddings is true")
            )
        weights[HEAD] = weights[EMBEDDING]
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    model.eval()
    return model


def save(model: Mamba2ForCausalLM, folder: Path) -> None:
    """Write a model as a checkpoint folder that `load` reads, every tensor in its own dtype.

    Raises:
        CannotSaveError: there is no space, or no right to write.
    """
    tied = model.config.tie_embeddings
    weights = {
        name: tensor.detach().contiguous()
        for name, tensor in model.state_dict().items()
        if not (tied and name == HEAD)
    }
    with save_errors(folder / WEIGHTS):
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    write_text(folder / CONFIG, json.dumps(model.config.official(), indent=2) + "\n")


def _refused(folder: Path, *problems: Problem) -> BadInputError:
    return BadInputError(f"{folder.name} cannot be loaded as a Mamba-2 checkpoint", problems)


def _config(folder: Path) -> Mamba2Config:
    """config.json, every field of it known."""
    found = foreign_json.read(folder / CONFIG)
    place = f"{folder / CONFIG}: $"
    expected = f"a field of MambaLMHeadModel: {', '.join(sorted(READ))}"
    problems = [
        *(Problem(place, f"no {name}", name) for name in REQUIRED if name not in found),
        *(
            Problem(f"{place}.{name}", "an unknown field", expected)
            for name in sorted(found.keys() - READ - BOOKKEEPING)
        ),
        *(Problem(f"{place}.{field}", what, only) for field, what, only in config_problems(found)),
    ]
    if problems:
        raise _refused(folder, *problems)
    return Mamba2Config(**{name: value for name, value in found.items() if name in READ})


# -----------------------------------------------------------------------------
# The family
#
# What follows a prefix runs by the path that the mixers are set to (`Mamba2Mixer.continued`).
# Chunks start anew after a prefix, which in half precision moves what is rounded (`mamba2_scan`).
# Attention and remote code have no meaning here and are not read.

States = tuple[Mamba2State, ...]
"""What each block's mixer carries on."""


def _add_and_norm(
    block: Any,  # noqa: ANN401 - a Mamba2Block, whatever PEFT has made of what is in it
    hidden: Tensor,
    residual: Tensor | None,
    norm: RMSNorm,
) -> tuple[Tensor, Tensor]:
    """`add_and_norm`, by one kernel where the block's mixer runs by ours."""
    config = block.config
    if type(norm) is not RMSNorm or not by_our_kernels(block.mixer):
        return add_and_norm(hidden, residual, norm, config)
    from runner.models.mamba_scan_triton import added_and_normed

    return added_and_normed(
        norm,
        hidden,
        eps=norm.eps,
        stream=residual,
        kept=torch.float32 if config.residual_in_fp32 else hidden.dtype,
        rounded=(not config.fused_add_norm, False),
    )


class Mamba2Model:
    """Mamba-2, by our own code; see `ModelFamily`."""

    def load(
        self, folder: Path, dtype: torch.dtype, attention: Attention, *, remote_code: bool
    ) -> Mamba2ForCausalLM:
        """As `ModelFamily.load` says."""
        del attention, remote_code
        model = load(folder, dtype)
        model.to(kernels.device())
        return model

    @torch.no_grad()
    def continued(
        self, model: Mamba2ForCausalLM, tokens: Tensor, state: States | None
    ) -> tuple[Tensor, States]:
        """As `ModelFamily.continued` says: the pass of `Mamba2Backbone`, from state to state."""
        after: list[Mamba2State] = []
        return self._run(model, tokens, state, after.append), tuple(after)

    @torch.no_grad()
    def hidden(self, model: Mamba2ForCausalLM, tokens: Tensor, state: States | None) -> Tensor:
        """As `registry.hidden` says."""
        return self._run(model, tokens, state, lambda _: None)

    def _run(
        self,
        model: Mamba2ForCausalLM,
        tokens: Tensor,
        state: States | None,
        left: Callable[[Mamba2State], None],
    ) -> Tensor:
        backbone = model.backbone
        hidden, residual = backbone.embedding(tokens), None
        for number, block in enumerate(backbone.layers):
            normed, residual = _add_and_norm(block, hidden, residual, block.norm)
            hidden, after = block.mixer.continued(normed, state[number] if state else None)
            left(after)
        normed, _ = _add_and_norm(block, hidden, residual, backbone.norm_f)
        return normed

    @torch.no_grad()
    def head(self, model: Mamba2ForCausalLM, hidden: Tensor) -> Tensor:
        """As `ModelFamily.head` says."""
        logits: Tensor = model.lm_head(hidden)
        return logits


MAMBA2 = Mamba2Model()
