"""Every model family that can be loaded, and which one a checkpoint folder is of.

To add a family: its data in `repro.schema.families`, a module here, a line in `MODELS`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro.errors import BadInputError, Problem
from repro.schema.families import FAMILIES, named_by
from runner.models.family import CONFIG, ModelFamily, read_config
from runner.models.mamba import MAMBA
from runner.models.mamba2_checkpoint import MAMBA2
from runner.models.transformers_model import GPT_NEOX, LLAMA, OLMO, OPENELM, PHI

MODELS: Mapping[str, ModelFamily[Any]] = {
    "mamba": MAMBA,
    "mamba2": MAMBA2,
    "gpt-neox": GPT_NEOX,
    "olmo": OLMO,
    "phi": PHI,
    "openelm": OPENELM,
    "llama": LLAMA,
}
"""Key of `repro.schema.families.FAMILIES` to the code for it."""


def family_of(folder: Path) -> str:
    """The key in `MODELS` of a checkpoint folder, told by its config.json.

    Raises:
        BadInputError: there is none, or it is of no family that is known here.
    """
    config = read_config(folder)
    name = named_by(config)
    if name is None:
        fields = [field for field in ("model_type", "ssm_cfg") if field in config]
        found = ", ".join(f"{field} {config[field]!r}" for field in fields) or "no model_type"
        known = [says for family in FAMILIES.values() for says in family.config]
        problem = Problem(f"{folder / CONFIG}: $", found, f"one of {', '.join(known)}")
        message = "cannot load the checkpoint"
        raise BadInputError(message, [problem])
    return name
