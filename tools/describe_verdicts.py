"""Writes `docs/verdict-changes.md`: which words about the paper changed, and why.

    python -m tools.describe_verdicts > docs/verdict-changes.md
    python -m tools.describe_verdicts words evidence     the words of today, for the next snapshot

`docs/verdict-changes.json` holds the words of every claim on some day and the changes since, each
with a reason that the authors of the paper would have to accept. After a change of words: a
snapshot of the words before, and a change for every claim whose word is another one.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, TypeAdapter

from repro import paths
from repro.report import collect
from repro.report.words import Words, words_of
from repro.schema.base import Frozen
from repro.schema.claim_base import Text
from repro.store import run_file
from repro.text import in_markdown
from tools import command

COMMAND = "python -m tools.describe_verdicts"
SOURCE = paths.ROOT / "docs" / "verdict-changes.json"


class Change(Frozen):
    """What became of the words of some claims, for one reason."""

    since: Text
    """Day of the snapshot that it is a change from."""
    claims: tuple[Text, ...] = Field(min_length=1)
    """`<manifest>:<claim>` of each."""
    before: Text
    after: Text
    why: Text


class Note(Frozen):
    """What was asked for and answered otherwise, with reasons."""

    since: Text
    about: Text
    why: Text


class Changes(Frozen):
    """Every change of words since the first snapshot."""

    snapshots: dict[Text, dict[Text, Text]]
    """Day to the word of each claim on that day, oldest first."""
    changes: tuple[Change, ...]
    notes: tuple[Note, ...]


def load(path: Path = SOURCE) -> Changes:
    """The committed data."""
    return TypeAdapter(Changes).validate_json(path.read_text(encoding="utf-8"))


def words(evidence: Path) -> Words:
    """The word of every claim, from the manifests and the records of some folders."""
    return words_of(collect.gather(run_file.folders_of([evidence])))


# -----------------------------------------------------------------------------
# The page

_HEAD = f"""\
# Which words changed, and why

Made by `{COMMAND}` from `docs/verdict-changes.json`. A word is the outcome of a
claim, or the list that an inconclusive one stands in (`contradicted-if`, `fails-by-one-reading`,
`held`, …); a step of a sentence or a check of our own has a result (`holds`, `fails`, `open`) and
no verdict. What the words mean: [verdicts](verdicts.md), [ADR](adr/0022-findings-are-data.md)."""


def describe(data: Changes) -> str:
    """The whole page."""
    return "\n\n".join([_HEAD, *_parts(data)]) + "\n"


def _parts(data: Changes) -> Iterator[str]:
    for since, then in reversed(data.snapshots.items()):
        changes = [each for each in data.changes if each.since == since]
        count = sum(len(each.claims) for each in changes)
        yield f"## Since {since}\n\n{count} words, of {len(then)} claims and of new ones."
        for pair in dict.fromkeys((each.before, each.after) for each in changes):
            lines = [f"### {pair[0]} → {pair[1]}", "", "| claims | why |", "| :-- | :-- |"]
            for each in changes:
                if (each.before, each.after) == pair:
                    names = ", ".join(f"`{name}`" for name in each.claims)
                    lines.append(f"| {names} | {in_markdown(each.why)} |")
            yield "\n".join(lines)
        notes = [each for each in data.notes if each.since == since]
        if notes:
            said = [f"- **{in_markdown(each.about)}**: {in_markdown(each.why)}" for each in notes]
            yield "\n".join(["### Asked for, and answered otherwise", "", *said])


def main() -> None:
    """Print the page, or the words of some results."""
    parser = command.parser(__doc__)
    parser.add_argument("words", nargs="*", metavar="words FOLDER")
    given = parser.parse_args().words
    if given and (given[0] != "words" or len(given) != 2):  # noqa: PLR2004
        parser.error(f"found {' '.join(given)}, expected words FOLDER, or nothing")
    if given:
        print(json.dumps(words(Path(given[1])), indent=1, ensure_ascii=False))
    else:
        sys.stdout.write(describe(load()))


if __name__ == "__main__":
    command.run(main)
