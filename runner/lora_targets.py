"""Which modules each method adapts, by family.

W makes B, C and Δ together: x_proj of Mamba, in_proj of Mamba-2. Targets are last parts of module
names, as PEFT takes them.

Reference: paper v2, Appendix D (ALL and SLL) and Appendix F (W); `repro.families` for the lists.
Differs: `lora-not-w` is ALL without W; the paper names one other layer of Mamba-2, out_proj.
Not covered: what of it learns on which path (`runner.adapters`, `runner.models.mamba_paths`).
"""

from collections.abc import Mapping

from repro.errors import CannotRunError
from repro.families import FAMILIES
from repro.jobs import Method

W: Mapping[str, str] = {"mamba": "x_proj", "mamba2": "in_proj"}
"""The projection whose LoRA Appendix F singles out; the other families have none."""


def targets(family: str, method: Method) -> tuple[str, ...]:
    """Names of the modules that a method adapts; none for full fine-tuning.

    Args:
        family: Key in `FAMILIES`.
        method: What is trained.

    Raises:
        CannotRunError: the paper names no such layers for this family.
    """
    known, w = FAMILIES[family], W.get(family)
    match method:
        case "full":
            return ()
        case "lora-all":
            found = known.lora_all
        case "lora-sll":
            found = known.lora_sll
        case "lora-w":
            found = (w,) if w else ()
        case "lora-not-w":
            found = tuple(name for name in known.lora_all if name != w) if w else ()
    if not found:
        named = [name for name in FAMILIES if _names(name, method)]
        message = (
            f"{method} is not defined for the family {family}: the paper names its layers for "
            f"{' and '.join(named)} only"
        )
        raise CannotRunError(message)
    return found


def _names(family: str, method: Method) -> bool:
    """Whether the paper says what a method that needs naming is in a family."""
    return bool(FAMILIES[family].lora_sll) if method == "lora-sll" else family in W
