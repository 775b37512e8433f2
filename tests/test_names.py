"""The tool is apart from its first bundle: no file of it names that paper, its tables, its models.

What a page or a message shows of a paper comes from `paper.json`, manifests and the catalog.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from repro import paths

ALLOWED = {
    ("runner/models/transformers_model.py", "phi-1.5"): "about the architecture of that name",
}
"""File and name that may stand in it, and why."""

MEASURED = "repro/schema/kinds/rates.json"
"""Speeds that benchmarks measured, each row with the network that it is of."""


def forbidden() -> dict[str, re.Pattern[str]]:
    """Whatever names the first bundle's paper, by what it is."""
    about = json.loads((paths.ROOT / paths.PAPER).read_bytes())
    known = json.loads((paths.CATALOG / "checkpoints.json").read_bytes())["checkpoints"]
    published = [name for name, each in known.items() if each["source"]["kind"] != "bundled"]
    surnames = [name.split()[-1] for name in about["authors"]]
    manifests = [
        path.stem for path in paths.MANIFESTS.glob("*.json") if re.search(r"\d", path.stem)
    ]
    assert len(published) > 20
    assert len(manifests) > 9
    words = [about["id"], about["title"], *surnames, *published, *manifests]
    # "v3" is a version of anything.
    return {
        **{each: re.compile(re.escape(each), re.IGNORECASE) for each in words if each != "v3"},
        "a table or figure": re.compile(r"\b(table|figure)s?[ _-]?\d", re.IGNORECASE),
    }


def found_in(path: Path, names: dict[str, re.Pattern[str]]) -> Iterator[tuple[int, str]]:
    """Lines that name it."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        yield from ((number, name) for name, pattern in names.items() if pattern.search(line))


def test_no_file_of_the_tool_names_the_first_bundles_paper() -> None:
    names, used = forbidden(), set[tuple[str, str]]()
    told = []
    for package in ("repro", "runner", "verify"):
        for path in sorted((paths.ROOT / package).rglob("*")):
            where = path.relative_to(paths.ROOT).as_posix()
            if path.is_file() and path.suffix != ".pyc" and where != MEASURED:
                for number, name in found_in(path, names):
                    used.add((where, name))
                    if (where, name) not in ALLOWED:
                        told.append(f"{where}:{number}: {name}")
    assert told == []
    assert used == set(ALLOWED), "an exception that nothing needs any more"


def test_a_name_would_be_found(tmp_path: Path) -> None:
    """Each kind of name, as code and prose write it."""
    lines = [
        "arXiv 2406.00209v2",
        "Mamba-130M is",
        "manifests/table1.json",
        "see Figure 2.",
        "halloran",
    ]
    path = tmp_path / "code.py"
    path.write_text("\n".join([*lines, "a table of 3 rows", "tables[0]", "Mamba-2"]))
    assert {number for number, _ in found_in(path, forbidden())} == {1, 2, 3, 4, 5}
