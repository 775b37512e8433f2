"""Writes `catalog/sentences.json` for a copy of the paper: place and digest of each sentence.

    python -m tools.describe_sentences paper.txt > found.json
    mv found.json catalog/sentences.json

What the ledger has for a sentence already, claims or a reason, is kept by its digest; a new one is
unbound until someone binds it by hand. No text of the paper is written.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from repro import coverage, paths
from repro.coverage import Entry, Sentence


def describe(copy: Sequence[Sentence], known: Sequence[Entry]) -> str:
    """The whole ledger as JSON, one sentence a line.

    Args:
        copy: The sentences of a copy, section by section.
        known: Entries that are kept for the same sentence, each once.
    """
    kept: dict[str, list[Entry]] = {}
    for entry in known:
        kept.setdefault(entry.sha256, []).append(entry)
    parts = dict.fromkeys(each.section for each in copy)
    lines = [
        f'  "{section}": [\n' + ",\n".join(_entries(copy, section, kept)) + "\n  ]"
        for section in parts
    ]
    paper = json.dumps({"id": "2406.00209", "version": "v2"})
    head = f'{{\n "schema_version": 2,\n "paper": {paper},\n "sections": {{\n'
    return head + ",\n".join(lines) + "\n }\n}\n"


def _entries(copy: Sequence[Sentence], section: str, kept: dict[str, list[Entry]]) -> Iterator[str]:
    for each in copy:
        if each.section == section:
            same = kept.get(each.sha256)
            was = same.pop(0) if same else None
            entry = Entry(
                order=each.order,
                sha256=each.sha256,
                claims=was.claims if was else (),
                aside=was.aside if was else None,
            )
            yield f"   {json.dumps(entry.model_dump(mode='json', exclude_defaults=True))}"


def main(path: Path) -> str:
    """The ledger of a copy, with what the committed one knows of it."""
    exists = (paths.bundle().catalog / "sentences.json").exists()
    ledger = coverage.load() if exists else None
    known = [e for each in ledger.sections.values() for e in each] if ledger else []
    return describe(coverage.read_paper(path), known)


if __name__ == "__main__":
    sys.stdout.write(main(Path(sys.argv[1])))
