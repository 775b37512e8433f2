"""Mamba-2 checkpoints in the official layout, with safetensors in place of the pickle.

A folder holds config.json as `MambaLMHeadModel` writes it, and `model.safetensors` or its shards
with `model.safetensors.index.json`. Names and shapes of tensors are those of the release. Where
the output layer is tied to the embedding, `lm_head.weight` may lack; if it is there, it must be the
embedding. Nothing is loaded before every name, shape and length has been checked, and no weight is
ever drawn at random.

Not covered: whether the numbers are those of a trained model.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError  # type: ignore[attr-defined]  # missing in its stub
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PretrainedConfig

from repro import json_text
from repro.checkpoint_files import header
from repro.errors import BadInputError, Problem, saving
from repro.families import FAMILIES
from repro.files import write_text
from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_config import FIXED, Mamba2Config, faults

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
EMBEDDING, HEAD = "backbone.embedding.weight", "lm_head.weight"
FLOATING = ("F64", "F32", "F16", "BF16")

REQUIRED = ("d_model", "n_layer", "vocab_size")
"""Fields of config.json for which no default is taken."""

READ = {*Mamba2Config().official(), *FIXED}
BOOKKEEPING = PretrainedConfig().to_dict().keys() - {"tie_word_embeddings"}
"""Fields that transformers adds when it saves a model, none of which moves a number here."""

Shapes = Mapping[str, tuple[int, ...]]


def stored_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype of a parameter in a model of `dtype`: FP32 for D in half precision.

    Reference: the table in `mamba2_mixer`.
    """
    half = dtype in (torch.float16, torch.bfloat16)
    return (
        torch.float32
        if half and name.endswith(FAMILIES["mamba2"].layouts["Mamba2"].kept_wide)
        else dtype
    )


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Mamba2ForCausalLM:
    """The model of a checkpoint folder, on the CPU, ready to be evaluated.

    Args:
        folder: The checkpoint.
        dtype: float32, float16, bfloat16 or float64; whatever dtype is stored is cast to it.

    Raises:
        BadInputError: naming every field, file and tensor that is wrong.
    """
    config = _config(folder)
    files = _files(folder)
    with torch.device("meta"):
        model = Mamba2ForCausalLM(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if problems := list(_tensor_problems(folder, config, files, shapes)):
        raise _refused(folder, *problems)
    weights = _weights(files, dtype)
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
    with saving(folder / WEIGHTS):
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    write_text(folder / CONFIG, json.dumps(model.config.official(), indent=2) + "\n")


def _refused(folder: Path, *problems: Problem) -> BadInputError:
    return BadInputError(f"{folder.name} cannot be loaded as a Mamba-2 checkpoint", problems)


def _object(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of the folder."""
    path = folder / name
    try:
        content = json_text.load(path)
    except (OSError, ValueError) as error:
        found = f"no JSON ({error})"
        raise _refused(folder, Problem(str(path), found, "a JSON object")) from error
    if not isinstance(content, dict):
        found = f"a {type(content).__name__}"
        raise _refused(folder, Problem(str(path), found, "a JSON object"))
    return content


def _config(folder: Path) -> Mamba2Config:
    """config.json, every field of it known."""
    found = _object(folder, CONFIG)
    place = f"{folder / CONFIG}: $"
    expected = f"a field of MambaLMHeadModel: {', '.join(sorted(READ))}"
    problems = [
        *(Problem(place, f"no {name}", name) for name in REQUIRED if name not in found),
        *(
            Problem(f"{place}.{name}", "an unknown field", expected)
            for name in sorted(found.keys() - READ - BOOKKEEPING)
        ),
        *(Problem(f"{place}.{field}", what, only) for field, what, only in faults(found)),
    ]
    if problems:
        raise _refused(folder, *problems)
    return Mamba2Config(**{name: value for name, value in found.items() if name in READ})


def _files(folder: Path) -> list[Path]:
    """The safetensors of the folder."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        pickled = f"only {PICKLE}, a pickle, which is not opened"
        found = pickled if (folder / PICKLE).is_file() else "no weights"
        expected = f"{WEIGHTS}, or {INDEX} and its shards"
        raise _refused(folder, Problem(str(folder), found, expected))
    named = _object(folder, INDEX).get("weight_map")
    if not isinstance(named, dict) or not named:
        expected = "weight_map: tensor to shard"
        raise _refused(folder, Problem(str(folder / INDEX), "no weight_map", expected))
    shards = [folder / name for name in sorted({str(name) for name in named.values()})]
    missing = [shard for shard in shards if not shard.is_file()]
    if missing:
        expected = f"a shard that {INDEX} names"
        raise _refused(folder, *(Problem(str(shard), "no file", expected) for shard in missing))
    return shards


def _weights(files: list[Path], dtype: torch.dtype) -> dict[str, Tensor]:
    """Every tensor of the files, cast."""
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            stored = load_file(file)
        except SafetensorError as error:
            problem = Problem(str(file), str(error), "a whole safetensors file")
            raise _refused(file.parent, problem) from error
        weights |= {name: tensor.to(stored_dtype(name, dtype)) for name, tensor in stored.items()}
    return weights


def _tensor_problems(
    folder: Path, config: Mamba2Config, files: list[Path], shapes: Shapes
) -> Iterator[Problem]:
    """What is wrong with names, shapes, dtypes and lengths, from the headers alone."""
    found: dict[str, Mapping[str, Any]] = {}
    for file in files:
        try:
            found |= header(file)
        except ValueError as error:
            yield Problem(str(file), str(error), "a whole safetensors file")
            return
    needed = shapes.keys() - ({HEAD} if config.tie_embeddings else set())
    yield from _listed(
        folder, "missing", sorted(needed - found.keys()), "every weight of the model"
    )
    yield from _listed(
        folder, "unknown", sorted(found.keys() - shapes.keys()), "none but the model's"
    )
    both = sorted(found.keys() & shapes.keys())
    odd = [
        f"{name} {found[name]['dtype']}" for name in both if found[name]["dtype"] not in FLOATING
    ]
    yield from _listed(folder, "in another dtype", odd, f"one of {', '.join(FLOATING)}")
    wrong = [
        f"{name} {found[name]['shape']} for {list(shapes[name])}"
        for name in both
        if tuple(found[name]["shape"]) != shapes[name]
    ]
    hint = f"{config.rows} rows: vocab_size {config.vocab_size} padded to a multiple of"
    rows = f"an embedding of {hint} {config.pad_vocab_size_multiple}"
    yield from _listed(folder, "of the wrong shape", wrong, f"the shapes of {CONFIG}; {rows}")


def _listed(folder: Path, what: str, names: list[str], expected: str) -> Iterator[Problem]:
    """One problem for any number of tensors: how many, and the first three."""
    if names:
        shown = ", ".join(names[:3]) + (" ..." if names[3:] else "")
        yield Problem(str(folder), f"{len(names)} tensors {what}: {shown}", expected)
