"""config.json of a checkpoint folder."""

from pathlib import Path
from typing import Any

from repro import json_text
from repro.errors import BadInputError, Problem

CONFIG = "config.json"


def read(folder: Path) -> dict[str, Any]:
    """What it holds.

    Raises:
        BadInputError: there is none, or it is no JSON object.
    """
    try:
        config = json_text.load(folder / CONFIG)
    except (OSError, ValueError) as error:
        found = f"no JSON ({json_text.why(error)})"
    else:
        if isinstance(config, dict):
            return config
        found = f"a {type(config).__name__}"
    message = "cannot load the checkpoint"
    raise BadInputError(message, [Problem(str(folder / CONFIG), found, "a JSON object")])
