"""Checkpoints that others made, loaded by others' code: whatever goes wrong is the checkpoint's.

transformers, tokenizers and safetensors raise whatever their code runs into in a file that they
did not expect: AttributeError, KeyError, a panic of Rust. Around them, and nowhere else, all of it
becomes a message about the checkpoint. What is stored is held to the model before any weight is
read: no weight is made up, and none is stored that the model would not use.

Memory that runs out and errors of CUDA are not the checkpoint's, and pass.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from repro.errors import BadInputError, CannotRunError, Problem, ReproError, first_line
from repro.weights.checkpoint_files import Tensors
from repro.weights.loadable import CONFIG, INDEX, weights

FLOATING = ("F64", "F32", "F16", "BF16")
_EXPECTED = (
    "config.json, safetensors and tokenizer of one causal language model, as transformers 4.40.0 "
    "writes them; take another copy, or leave this checkpoint out with --only"
)
_PANIC = "pyo3_runtime"
"""Module of the panics of safetensors and tokenizers, which are no Exception."""


def refused(where: Path | str, found: str, expected: str) -> BadInputError:
    """What to raise of a checkpoint that cannot be loaded."""
    message = "cannot load the checkpoint"
    return BadInputError(message, [Problem(str(where), found, expected)])


@contextmanager
def checkpoint_errors(folder: Path) -> Iterator[None]:
    """Around other libraries' code that reads a checkpoint.

    Raises:
        BadInputError: for whatever that code raised.
        CannotRunError: a package is missing.
    """
    try:
        yield
    except (ReproError, MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except ImportError as error:
        found = str(error).strip().partition(". Run")[0]  # then a stranger's package may be named
        message = f"the Python code that loads {folder.name} cannot be imported: {found}"
        raise CannotRunError(message) from error
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__module__ != _PANIC:
            raise
        if isinstance(error, Exception) and (is_out_of_memory(error) or "CUDA" in str(error)):
            raise
        found = first_line(error)
        if not isinstance(error, OSError | ValueError):
            found = f"{type(error).__name__}: {found}"
        raise refused(folder, found, _EXPECTED) from error


# -----------------------------------------------------------------------------
# Memory, which is not the checkpoint's fault

_NO_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""How torch says it of the machine, kernels outside torch and CUDA's libraries of a GPU."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, a GPU's or the machine's; some say it in words only."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(each in str(error) for each in _NO_MEMORY)


@contextmanager
def memory_to_spare(what: str, advice: str = "") -> Iterator[None]:
    """Turn a machine that is too small for `what` into a message.

    Raises:
        CannotRunError: what is inside ran out of memory, on the GPU or on the CPU.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        message = f"not enough memory for {what}: {first_line(error)}{advice}"
        raise CannotRunError(message) from error


# -----------------------------------------------------------------------------
# What is stored, held to the model


def check_stored(
    folder: Path,
    stored: Tensors,
    model: nn.Module,
    ignored: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> None:
    """Refuse a checkpoint whose tensors are not those of a model.

    Args:
        folder: The checkpoint.
        stored: What the headers say.
        model: Built from config.json, on any device, tied weights tied.
        ignored: Patterns of whole names that may be stored and are not used. Of them, the angles of
            rotary positions have to be those that config.json gives.
        renamed: Names that older versions stored, to the model's.

    Raises:
        BadInputError: a weight is missing, is of another shape or no floating point number; or one
            is stored that the model has not, or that is tied to another with other values.
    """
    own = model.state_dict(keep_vars=True)
    prefix = str(getattr(model, "base_model_prefix", ""))
    bare = bool(prefix) and not any(name.startswith(prefix) for name in stored)
    if bare and any(name.startswith(prefix) for name in own):  # the body alone was saved
        full = {f"{prefix}.{name}": name for name in stored}
    else:
        full = {name: name for name in stored}
    for older, name in (renamed or {}).items():
        if older in full and name not in full:
            full[name] = full.pop(older)
    shapes = {name: tuple(each.shape) for name, each in own.items()}
    groups = _groups(own)
    held = {name: stored[short] for name, short in full.items()}
    needed = {group[0] for group in groups if not any(name in held for name in group)}
    problems = [*tensor_problems(folder, held, shapes, needed, ignored)]
    if not problems:
        twice = [[full[name] for name in group if name in held] for group in groups]
        problems = [*_differing(folder, [group for group in twice if group[1:]])]
        angles = [short for name, short in full.items() if name.endswith(".inv_freq")]
        problems += _other_angles(folder, [each for each in angles if each not in own], model)
    if problems:
        message = f"cannot load the checkpoint {folder.name}: other tensors than its model has"
        raise BadInputError(message, problems)


def tensor_problems(
    folder: Path,
    held: Tensors,
    shapes: Mapping[str, tuple[int, ...]],
    missing: Collection[str],
    ignored: Collection[str] = (),
    advice: str = "",
) -> Iterator[Problem]:
    """What is wrong with names, dtypes and shapes of tensors, from the headers alone.

    Args:
        folder: The checkpoint.
        held: What is stored, by the model's names.
        shapes: The model's, by name.
        missing: Names that have to be there and are not.
        ignored: Patterns of whole names that may be stored and are not used.
        advice: More about shapes.
    """
    yield from _listed(folder, "missing", sorted(missing), "every weight of the model")
    unknown = [
        name
        for name in sorted(held.keys() - shapes.keys())
        if not any(re.fullmatch(each, name) for each in ignored)
    ]
    expected = "none but the model's; take a copy without them, or the config.json of these"
    yield from _listed(folder, "unknown", unknown, expected)
    both = sorted(held.keys() & shapes.keys())
    odd = [f"{name} {held[name]['dtype']}" for name in both if held[name]["dtype"] not in FLOATING]
    yield from _listed(folder, "in another dtype", odd, f"one of {', '.join(FLOATING)}")
    wrong = [
        f"{name} {held[name]['shape']} for {list(shapes[name])}"
        for name in both
        if tuple(held[name]["shape"]) != shapes[name]
    ]
    yield from _listed(folder, "of the wrong shape", wrong, f"the shapes of config.json{advice}")


def _listed(folder: Path, what: str, names: list[str], expected: str) -> Iterator[Problem]:
    """One problem for any number of tensors: how many, and the first three."""
    if names:
        shown = ", ".join(ascii(name)[1:-1] for name in names[:3]) + (" ..." if names[3:] else "")
        yield Problem(str(folder), f"{len(names)} tensors {what}: {shown}", expected)


def _groups(own: Mapping[str, Tensor]) -> list[list[str]]:
    """Names that share one parameter; most are alone."""
    groups: dict[int, list[str]] = {}
    for name, each in own.items():
        groups.setdefault(id(each), []).append(name)
    return list(groups.values())


def _differing(folder: Path, groups: list[list[str]]) -> Iterator[Problem]:
    """Tensors that are one in the model and several, with other values, in the files."""
    for first, *others in groups:
        one = _stored_tensor(folder, first)
        for name in others:
            other = _stored_tensor(folder, name)
            if one.dtype != other.dtype or not torch.equal(one, other):
                found = f"{name} and {first} with different values"
                yield Problem(str(folder), found, "equal ones: config.json ties them")


def _other_angles(folder: Path, names: list[str], model: nn.Module) -> Iterator[Problem]:
    """Angles of rotary positions that are stored, and not those that the model will compute.

    The versions of transformers that stored them also read them again; this one does not.
    """
    config: Any = getattr(model, "config", None)
    base = getattr(config, "rope_theta", getattr(config, "rotary_emb_base", None))
    for name in names:
        found = _stored_tensor(folder, name)
        expected = base ** -(torch.arange(found.numel()).double() / found.numel())
        rounding = 2 * torch.finfo(found.dtype).eps
        smallest = torch.finfo(found.dtype).smallest_normal
        if not torch.allclose(found.double(), expected, rtol=rounding, atol=smallest):
            what = f"{name} with other angles than the base {base:g} gives"
            yield Problem(str(folder), what, "those of config.json, which are the ones used")
            return


def _stored_tensor(folder: Path, name: str) -> Tensor:
    for file in weights(folder):
        if file != INDEX:
            opened: Any = safe_open(str(folder / file), framework="pt")  # type: ignore[no-untyped-call]
            with opened as stored:
                if name in stored.keys():  # noqa: SIM118  # it is no dict
                    tensor: Tensor = stored.get_tensor(name)
                    return tensor
    raise KeyError(name)


def stored_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a folder's safetensors by name, on the CPU, a file at a time."""
    for file in weights(folder):
        if file != INDEX:
            yield from load_file(folder / file).items()


def check_layers(folder: Path, layers: Any, stored: Tensors) -> None:  # noqa: ANN401  # anything
    """Refuse more layers than there are tensors, before so many are built."""
    if type(layers) is not int or not 0 <= layers <= len(stored):
        found = f"{layers!a} layers, with {len(stored)} tensors stored"
        raise refused(folder / CONFIG, found, "a number that the weights bear out")
