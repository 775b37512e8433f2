"""The JSON schema of a manifest: `python -m repro.schema.json_schema` writes it anew."""

import json

from repro import paths
from repro.fileio import write_text
from repro.schema.manifest import Manifest

PATH = paths.CATALOG / "manifest.schema.json"


def text() -> str:
    """The schema, with the docstring under each field as its description."""
    return json.dumps(Manifest.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(PATH, text())
