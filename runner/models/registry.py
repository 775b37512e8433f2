"""Every model family that can be loaded, and which one a checkpoint folder is of.

To add a family: its data in `repro.schema.families`, a module here, a line in `MODELS`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro.errors import BadInputError, Problem
from repro.schema.families import FAMILIES, named_by
from runner.models.config_file import CONFIG, read
from runner.models.family import ModelFamily
from runner.models.gpt_neox import GPT_NEOX
from runner.models.llama import LLAMA
from runner.models.mamba import MAMBA
from runner.models.mamba2_family import MAMBA2
from runner.models.olmo import OLMO
from runner.models.openelm import OPENELM
from runner.models.phi import PHI

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
    config = read(folder)
    name = named_by(config)
    if name is None:
        fields = [field for field in ("model_type", "ssm_cfg") if field in config]
        found = ", ".join(f"{field} {config[field]!r}" for field in fields) or "no model_type"
        known = [says for family in FAMILIES.values() for says in family.config]
        problem = Problem(f"{folder / CONFIG}: $", found, f"one of {', '.join(known)}")
        message = "cannot load the checkpoint"
        raise BadInputError(message, [problem])
    return name
