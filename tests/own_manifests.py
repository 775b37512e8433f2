"""Manifests of a user's own, saved where the user likes."""

from pathlib import Path
from typing import Any

from repro import fileio

PLACE = {"section": "our claim"}


def manifest_of(name: str, **changes: Any) -> dict[str, Any]:
    """0.13 is 30 % more than 0.10: a claim about printed numbers, which takes no run."""
    more = {"kind": "ratio", "published": "more", "of": ["b", "a"], "form": "percent-more"}
    claim = {"id": "more.printed", "statement": "30 % more", "place": PLACE, "depends_on": []}
    return {
        "schema_version": 1,
        "id": name,
        "title": "Ours",
        "paper": {"arxiv": "2406.00209", "version": "v2"},
        "packages": {},
        "published": [printed("a", "0.10"), printed("b", "0.13"), printed("more", "30")],
        "settings": [],
        "jobs": [],
        "claims": [{**claim, **more, "relation": "equals"}],
        **changes,
    }


def printed(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "text": text, "unit": "percent", "place": PLACE}


def save(folder: Path, data: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{data['id']}.json"
    path.write_bytes(fileio.canonical(data))
    return path


def with_a_job(name: str) -> dict[str, Any]:
    """LoRA on two stacked blocks ties them: a claim that takes a run of a second."""
    blocks = {"gate": 3, "up": 3}
    job = {"kind": "weight_tying", "projection": "p", "inputs": 4, "rank": 2, "seed": 0}
    tied = {"kind": "identity", "jobs": ["one"], "case": "tied", "controls": []}
    claim = {"id": "tied", "statement": "tied", "place": PLACE, "depends_on": []}
    single = {"kind": "single", "id": "one", "tiers": ["full"], "job": {**job, "blocks": blocks}}
    return manifest_of(name, published=[], jobs=[single], claims=[{**claim, **tied}])


def words(text: str) -> str:
    return " ".join(text.split())
