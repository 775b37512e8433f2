"""The JSON schema of a manifest, for editors: `python -m repro.schema` writes it anew."""

import json

from repro import bundle
from repro.files import write_text
from repro.manifest import Manifest

PATH = bundle.CATALOG / "manifest.schema.json"


def text() -> str:
    """The schema, with the docstring under each field as its description."""
    return json.dumps(Manifest.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(PATH, text())
