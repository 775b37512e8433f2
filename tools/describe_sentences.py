"""Writes `catalog/sentences.json` for a copy of the paper: place and digest of each sentence.

    python -m tools.describe_sentences paper.txt > found.json
    mv found.json catalog/sentences.json

What the ledger has for a sentence already, claims or a reason, is kept by its digest; a new one is
unbound until someone binds it by hand. No text of the paper is written.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from repro import coverage, paths
from repro.coverage import Entry, Sentence
from repro.errors import BadInputError
from repro.schema import paper
from repro.schema.paper import PaperVersion
from tools import command


def describe(copy: Sequence[Sentence], known: Sequence[Entry], about: PaperVersion) -> str:
    """The whole ledger as JSON, one sentence a line.

    Args:
        copy: The sentences of a copy, section by section.
        known: Entries that are kept for the same sentence, each once.
        about: The version that it is a copy of.
    """
    kept: dict[str, list[Entry]] = {}
    for entry in known:
        kept.setdefault(entry.sha256, []).append(entry)
    parts = dict.fromkeys(each.section for each in copy)
    lines = [
        f'  "{section}": [\n' + ",\n".join(_entries(copy, section, kept)) + "\n  ]"
        for section in parts
    ]
    head = (
        f'{{\n "schema_version": 2,\n "paper": {json.dumps(about.model_dump())},\n "sections": {{\n'
    )
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
    """The ledger of a copy, with what the committed one knows of it; else of the last version."""
    copy = coverage.read_paper(path)
    if (paths.bundle().catalog / coverage.LEDGER).exists():
        ledger = coverage.load()
        known = [entry for each in ledger.sections.values() for entry in each]
        return describe(copy, known, ledger.paper)
    found = paper.load()
    if found is None:
        raise BadInputError(f"found no {paths.PAPER}, expected the bundle of the paper")
    return describe(copy, [], PaperVersion(id=found.id, version=found.versions[-1]))


def _print() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("copy", metavar="COPY", type=Path)
    print(main(parser.parse_args().copy), end="")


if __name__ == "__main__":
    command.run(_print)
