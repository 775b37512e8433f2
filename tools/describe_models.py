"""Writes the sizes of every checkpoint that the manifests name into docs/models.md.

    python -m tools.describe_models

Parameters and states are counted of models that are built from the published configurations, of
tensors without memory, without weights; peak memory is what `repro plan` reckons with.
"""

import sys
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves  # both private, and the same since torch 2.2
from transformers import PreTrainedModel
from transformers.modeling_utils import no_init_weights

from repro import paths
from repro.schema import catalog
from repro.schema.catalog import Checkpoint
from repro.schema.families import FAMILIES
from repro.schema.kinds.cost import MAX_LENGTH, peak_memory
from runner.models import shapes
from runner.models.mamba_paths import set_path
from runner.models.registry import MODELS

PAGE = paths.ROOT / "docs" / "models.md"
MARK = "<!-- sizes: python -m tools.describe_models -->"

STATED = {
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "openelm-270m": 271_527_168,
    "openelm-450m": 457_179_136,
    "openelm-1.1b": 1_079_891_456,
}
"""Parameters that a release states to the digit: Pythia's README, OpenELM's checkpoints."""
PROSE = {"phi-1.5": 1.3e9}
"""Where the name says nothing of the size: Phi-1.5's report."""

INTRODUCTION = f"""\
Of the published configuration alone, all of which are public; no weights were at hand. "Stated" is
what the release says to the digit, else what the name says, as the paper does, with how far the
count is from it. Every count is the catalog's, or the difference is shown. Bytes of the weights as
they are loaded; the state or cache that one prompt of {MAX_LENGTH:,} tokens leaves; the peak that
`repro plan` expects of one such prompt, with eager attention. What a row was held against is said
of its family above.
"""
COLUMNS = ("checkpoint", "family", "parameters", "stated", "weights", "state or cache", "peak")


def table() -> str:
    """The page's part about sizes; of two sizes the first is float32's, the other of half."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [row(name) for name in shapes.SHAPES if not name.endswith("-twin")]
    lines = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    return f"{MARK}\n\n## Sizes\n\n{INTRODUCTION}\n{lines}"


def row(name: str) -> tuple[str, ...]:
    """What the table says of a checkpoint, by `COLUMNS`."""
    known = catalog.checkpoints()[name]
    with FakeTensorMode(), no_init_weights():
        model = _model(name, known, "float32")
        count = sum(weight.numel() for weight in model.parameters())
        sizes = [_bytes(known, model), _bytes(known, _model(name, known, "bfloat16"))]
    counted = f"{count:,}" + f" (catalog: {known.parameters:,})" * (count != known.parameters)
    stated = STATED.get(name) or PROSE.get(name) or _said_by(name)
    said = f"{stated:,}" if name in STATED else f"{stated / 1e9:g} B"
    said += "" if count == stated else f" ({count / stated - 1:+.1%})"
    both = [" / ".join(map(_size, found)) for found in zip(*sizes, strict=True)]
    return name, known.family, counted, said, *both


def _model(name: str, known: Checkpoint, dtype: str) -> PreTrainedModel:
    """A model as a checkpoint's is loaded in a dtype."""
    layouts = FAMILIES[known.family].layouts.values()
    kept = tuple(end for each in layouts for end in each.kept_wide)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))  # for tables of angles, as transformers does
    try:
        model = shapes.build(shapes.SHAPES[name]).eval()
        model.tie_weights()
    finally:
        torch.set_default_dtype(usual)
    for part, weight in model.named_parameters():
        wide = torch.float32 if kept and part.endswith(kept) else getattr(torch, dtype)
        weight.data = weight.data.to(wide)
    set_path(model, "slow")
    return model


def _bytes(known: Checkpoint, model: PreTrainedModel) -> tuple[int, int, int]:
    """Of the weights, of what a long prompt leaves, and at the peak."""
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    token = torch.zeros(1, 1, dtype=torch.long)
    _, state = MODELS[known.family].continued(model, token, None)
    left = sum(each.numel() * each.element_size() for each in tree_leaves(state))
    length = MAX_LENGTH if FAMILIES[known.family].state == "key-value cache" else 1
    dtype = str(model.get_input_embeddings().weight.dtype).removeprefix("torch.")
    return weights, left * length, peak_memory(known, dtype, 1, "eager")


def _said_by(name: str) -> float:
    """130m, 1.4b."""
    said = name.rpartition("-")[2]
    return float(said[:-1]) * {"m": 1e6, "b": 1e9}[said[-1]]


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"  # noqa: PLR2004


def page(text: str) -> str:
    """The page with its part about sizes made again."""
    return text.partition(MARK)[0].rstrip() + "\n\n" + table()


if __name__ == "__main__":
    written = Path(sys.argv[1]) if sys.argv[1:] else PAGE
    written.write_text(page(written.read_text(encoding="utf-8")), encoding="utf-8")
