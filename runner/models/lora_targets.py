"""Which modules each method adapts, by the layout of a checkpoint.

Targets are last parts of module names, as PEFT takes them.

Reference: paper v2, Appendix D (ALL and SLL) and Appendix F (W); `repro.schema.families` for the
lists. Differs: `lora-not-w` is ALL without W; the paper names one other layer of Mamba-2, out_proj.
Not covered: what of it learns on which path (`runner.tuning.adapters`,
`runner.models.mamba_paths`).
"""

from collections.abc import Mapping
from typing import Any

from repro.errors import CannotRunError
from repro.schema.families import FAMILIES, Layout, told_by
from repro.schema.jobs import Method


def targets(config: Mapping[str, Any], method: Method) -> tuple[str, ...]:
    """Names of the modules that a method adapts; none for full fine-tuning.

    Args:
        config: What config.json of a checkpoint of some family holds.
        method: What is trained.

    Raises:
        CannotRunError: the paper names no such layers for this family.
    """
    told = told_by(config)
    assert told is not None  # noqa: S101  # a checkpoint of no family is not loaded
    family, layout = told
    found = _of(layout, method)
    if method != "full" and not found:
        named = [
            name
            for name, known in FAMILIES.items()
            if any(_of(each, method) for each in known.layouts.values())
        ]
        message = (
            f"{method} is not defined for the family {family}: the paper names its layers for "
            f"{' and '.join(named)} only"
        )
        raise CannotRunError(message)
    return found


def _of(layout: Layout, method: Method) -> tuple[str, ...]:
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
