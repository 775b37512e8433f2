"""What fine-tuning adapts, and what it made: saved, and put onto its checkpoint again.

    model.safetensors                                 full: every parameter, float32, tied ones once
    adapter_model.safetensors, adapter_config.json    LoRA: PEFT's own files

Nothing is merged, and nothing but safetensors and JSON is read.

Reference: PEFT 0.10.0, `PeftModel.save_pretrained` and `from_pretrained`; lm-eval 0.4.2, `HFLM`,
whose `peft=` casts adapters to the dtype of the model, as here.
Differs: the config holds no path of the machine and lists its modules in order, so that equal runs
write equal files; names that lack or are unknown are refused, which PEFT passes over.
Not covered: adapters other than LoRA; more than one at a time.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import torch
from safetensors import SafetensorError  # type: ignore[attr-defined]  # missing in its stub
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from repro import json_text
from repro.errors import BadInputError, CannotRunError, CannotSaveError, Problem, save_errors
from repro.fileio import write_text
from repro.schema.families import FAMILIES, Layout, family_and_layout
from repro.schema.jobs import Method, TuningPath
from runner.models.mamba_paths import set_path

WEIGHTS, ADAPTERS, CONFIG = "model.safetensors", "adapter_model.safetensors", "adapter_config.json"

_ADAPTER, _WRAPPED = "default", "base_model.model."
"""PEFT's name of the one adapter, and what its wrapper puts before the names of a model."""


def save(model: nn.Module, folder: Path) -> Path:
    """Write what was trained of a model.

    The model may be wrapped by PEFT; the folder may hold what a killed try left.

    Returns:
        `folder`.

    Raises:
        CannotSaveError: there is no space, or no right to write.
    """
    weights = dict(model.named_parameters())
    name = WEIGHTS
    if isinstance(model, peft.PeftModel):
        name, weights = ADAPTERS, _adapters(model)
        _write_config(model.peft_config[_ADAPTER], folder)
    tensors = {key: each.detach().contiguous() for key, each in weights.items()}
    with save_errors(folder / name):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tensors, folder / name, metadata={"format": "pt"})
        except SafetensorError as error:  # it hides a full disk in a message of its own
            message = f"could not save {folder}: {error}; free some space or choose another --out"
            raise CannotSaveError(message) from error
    return folder


def attach(model: PreTrainedModel, folder: Path, *, mamba_path: TuningPath) -> PreTrainedModel:
    """Put what fine-tuning made onto the checkpoint that it was made of.

    The model is freshly loaded, in any dtype, which the tuned weights are cast to; it is changed.
    `mamba_path` is the code that its mixers are to run.

    Returns:
        `model`, ready to be evaluated: still transformers' own class, which `HFLM` takes, with
        LoRA's layers, unmerged, where it was adapted.

    Raises:
        BadInputError: the folder holds neither, or not what belongs to this model.
    """
    if (folder / CONFIG).is_file():
        stored = _read(folder / ADAPTERS)
        peft.inject_adapter_in_model(_lora(folder), model)
        weights = _adapters(model)
    else:
        stored = _read(folder / WEIGHTS)
        weights = dict(model.named_parameters())
    _copy(stored, weights, folder)
    set_path(model, mamba_path)
    return model.eval()


def _adapters(model: nn.Module) -> dict[str, nn.Parameter]:
    """LoRA's parameters by their names in PEFT's file, of a model wrapped or injected."""
    return {
        _WRAPPED + name.removeprefix(_WRAPPED).replace(f".{_ADAPTER}", ""): weight
        for name, weight in model.named_parameters()
        if ".lora_" in name
    }


def _write_config(config: peft.LoraConfig, folder: Path) -> None:
    said = config.to_dict() | {
        "base_model_name_or_path": None,
        "inference_mode": True,
        "target_modules": sorted(config.target_modules),
    }
    write_text(folder / CONFIG, json.dumps(said, indent=2, sort_keys=True) + "\n")


def _lora(folder: Path) -> Any:  # noqa: ANN401 - PEFT has no types
    """The LoraConfig in a folder."""
    path = folder / CONFIG
    try:
        said = json_text.load(path)
        if said.get("peft_type") == "LORA":
            return peft.LoraConfig(**{**said, "inference_mode": True})
        found = f"peft_type {said.get('peft_type')!r}"
    except (ValueError, TypeError, AttributeError) as error:
        found = str(error)
    raise _refused(folder, Problem(str(path), found, "PEFT's config of LoRA"))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        problem = Problem(str(path), f"no safetensors ({error})", f"{WEIGHTS}, or {ADAPTERS}")
        raise _refused(path.parent, problem) from error


def _copy(stored: Mapping[str, Tensor], weights: Mapping[str, nn.Parameter], folder: Path) -> None:
    """Put tensors into parameters, all or none."""
    shapes = [
        f"{name} {tuple(stored[name].shape)} for {tuple(weight.shape)}"
        for name, weight in weights.items()
        if name in stored and stored[name].shape != weight.shape
    ]
    wrong = {
        "missing": sorted(weights.keys() - stored.keys()),
        "unknown": sorted(stored.keys() - weights.keys()),
        "of another shape": shapes,
    }
    problems = [
        Problem(str(folder), f"{len(names)} {how}: {', '.join(names[:3])}", "the model's own")
        for how, names in wrong.items()
        if names
    ]
    if problems:
        raise _refused(folder, *problems)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(stored[name])


def _refused(folder: Path, *problems: Problem) -> BadInputError:
    return BadInputError(f"{folder.name} holds no tuned weights of this checkpoint", problems)


# -----------------------------------------------------------------------------
# Which modules each method adapts, by the layout of a checkpoint
#
# Targets are last parts of module names, as PEFT takes them.
#
# Reference: paper v2, Appendix D (ALL and SLL) and Appendix F (W); `repro.schema.families` for the
# lists. Differs: `lora-not-w` is ALL without W; the paper names one other layer of Mamba-2,
# out_proj. Not covered: what of it learns on which path (`runner.tuning.adapters`,
# `runner.models.mamba_paths`).


def adapter_targets(config: Mapping[str, Any], method: Method) -> tuple[str, ...]:
    """Names of the modules that a method adapts; none for full fine-tuning.

    `config` is what config.json of a checkpoint of some family holds.

    Raises:
        CannotRunError: the paper names no such layers for this family.
    """
    told = family_and_layout(config)
    assert told is not None  # noqa: S101  # a checkpoint of no family is not loaded
    family, layout = told
    found = _layout_targets(layout, method)
    if method != "full" and not found:
        named = [
            name
            for name, known in FAMILIES.items()
            if any(_layout_targets(each, method) for each in known.layouts.values())
        ]
        message = (
            f"{method} is not defined for the family {family}: the paper names its layers for "
            f"{' and '.join(named)} only"
        )
        raise CannotRunError(message)
    return found


def _layout_targets(layout: Layout, method: Method) -> tuple[str, ...]:
    """Names of a method's modules in a layout; empty where it has none."""
    w = layout.lora_w
    match method:
        case "full":
            return ()
        case "lora-all":
            return layout.lora_all
        case "lora-sll":
            return layout.lora_sll
        case "lora-w":
            return (w,) if w else ()
        case "lora-not-w":
            return tuple(name for name in layout.lora_all if name != w) if w else ()
