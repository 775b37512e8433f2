"""Claims about source code, and a package that is made up to look them up in."""

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from repro.schema.manifest import Manifest
from repro.schema.page_claims import FactClaim

CONFIG = "transformers/models/mamba/configuration_mamba.py"


def claimed(*lookups: dict[str, Any], **more: Any) -> tuple[Manifest, FactClaim]:
    """A manifest with one fact."""
    place = {"section": "5.2"}
    fact = {"id": "it", "kind": "fact", "statement": "", "place": place, "depends_on": []}
    data = {
        "schema_version": 1,
        "id": "made-up",
        "title": "",
        "paper": {"arxiv": "2406.00209", "version": "v2"},
        "packages": {},
        "published": [{"id": "four", "text": "4", "unit": "times", "place": place}],
        "settings": [],
        "jobs": [],
        "claims": [{**fact, "relation": "as-claimed", "lookups": lookups, **more}],
    }
    manifest = Manifest.model_validate_json(json.dumps(data), strict=True)
    claim = manifest.claims[0]
    assert isinstance(claim, FactClaim)
    return manifest, claim


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def installed(package: str, file: str, /, **changes: str) -> dict[str, str]:
    """A file as it is installed here."""
    found = importlib.metadata.distribution(package)
    sha256 = digest(Path(str(found.locate_file(file))).read_bytes())
    source = {"package": package, "version": found.version, "file": file, "sha256": sha256}
    return source | changes


def look(kind: str, source: dict[str, str], line: int, claimed: str, **more: str) -> dict[str, Any]:
    return {"kind": kind, "source": source, "line": line, "claimed": claimed, **more}


def state_size(claimed: str = "16", line: int = 108, **changes: str) -> dict[str, Any]:
    source = installed("transformers", CONFIG, **changes)
    where = {"function": "MambaConfig.__init__", "parameter": "state_size"}
    return look("default", source, line, claimed, **where)
