"""config.json of a checkpoint folder."""

from pathlib import Path
from typing import Any

from repro.weights import foreign_json

CONFIG = "config.json"


def read(folder: Path) -> dict[str, Any]:
    """What it holds.

    Raises:
        BadInputError: there is none, or it is no JSON object.
    """
    return foreign_json.read(folder / CONFIG)
