"""Writes docs/drift.md: what another stack made of every claim that the pinned one decides too.

    python -m tools.describe_drift                 the page, from docs/drift.json and the evidence
    python -m tools.describe_drift FOLDER > docs/drift.json   findings of drifted records, kept

Findings outlive records: those of a drifted stack are kept as data, and its records go where pinned
ones take their place. The pinned side is judged anew each time.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import TypeAdapter

from repro import json_text, paths
from repro.report import collect
from repro.report.words import word_of
from repro.schema.base import Frozen
from repro.schema.claim_base import Text
from repro.schema.finding import Finding
from repro.store import run_file
from repro.text import in_markdown
from tools import command

PINNED = paths.ROOT / "evidence" / "h200-pinned"
SOURCE = paths.ROOT / "docs" / "drift.json"
FEW = 4
"""Estimates that are shown of one claim."""
PAGE = paths.ROOT / "docs" / "drift.md"


class Side(Frozen):
    """What one stack made of one claim."""

    claim: Text
    """`<manifest>:<claim>`."""
    published: str
    word: str
    """As `repro.report.words` has it."""
    points: str
    """Where an inconclusive measurement points; empty where nowhere."""
    numbers: str
    """Estimates with their intervals, or what was measured."""
    stack: str
    """Machine and versions."""

    @property
    def said(self) -> str:
        """Word and direction."""
        return f"{self.word}; {self.points}" if self.points else self.word

    @property
    def towards(self) -> str:
        """Where it points, else its word; a check that holds or fails, as a sentence would."""
        last = (self.points or self.word).split()[-1].removesuffix("-if")
        return {"holds": "reproduced", "fails": "contradicted"}.get(last, last)


def sides(folder: Path) -> Iterator[Side]:
    """Every finding of a folder that rests on a measurement of its own."""
    for run in collect.gather(run_file.folders_of([folder])).runs:
        for finding in run.verdict.findings:
            if finding.records and finding.outcome not in ("not-run", "invalid"):
                yield Side(
                    claim=f"{run.verdict.manifest}:{finding.claim}",
                    published=finding.published,
                    word=word_of(finding),
                    points=finding.points,
                    numbers=numbers_of(finding),
                    stack=stack_of(folder / "jobs" / finding.records[0] / "record.json"),
                )


def numbers_of(finding: Finding) -> str:
    """A few estimates, with intervals where they have any; else what was measured, in short."""
    if not 0 < len(finding.estimates) <= FEW:
        return finding.measured
    said = []
    for each in finding.estimates:
        ends = [f"{end:.4g}" for end in (each.low, each.high) if end is not None]
        apart = f" ({' to '.join(ends)})" if len({*ends}) > 1 else ""
        said.append(f"{each.value:.4g}{apart} {each.unit} {each.label.removeprefix('measured ')}")
    return "; ".join(" ".join(each.split()) for each in said)


def stack_of(record: Path) -> str:
    """The machine and the versions that a record says it was made with."""
    here = json_text.load(record)["environment"]
    said = (f"{name} {here['packages'][name]}" for name in ("torch", "triton", "mamba-ssm"))
    machine = here["gpus"][0]["name"] if here["gpus"] else here["cpu"]["model"]
    return f"{machine}, Python {here['python']}, {', '.join(said)}"


# -----------------------------------------------------------------------------
# The page

_HEAD = """\
# What drift did

Made by `python -m tools.describe_drift`: every claim that records of two stacks are about. With a
drifted one nothing is decided (the word is `inconclusive`), and where it points is said. The
drifted findings stand in `docs/drift.json`; drifted records that pinned ones replace were removed,
and the history has them. The machines differ too: of speed and memory this is stack and machine.

"""


def describe(drifted: Iterable[Side], pinned: Iterable[Side]) -> str:
    """The whole page."""
    now = {each.claim: each for each in pinned}
    both = [(each, now[each.claim]) for each in drifted if each.claim in now]
    other = [f"`{old.claim}`" for old, new in both if old.towards != new.towards]
    lines = [
        f"{name}: {'; '.join(dict.fromkeys(pair[at].stack for pair in both))}.\n"
        for at, name in enumerate(("Drifted", "Pinned"))
    ]
    named = f": {', '.join(other)}" if other else ""
    lines.append(f"{len(both)} claims; {len(other)} point another way{named}.\n")
    lines += ["| claim | printed | drifted | pinned | numbers, drifted | numbers, pinned |"]
    lines.append("|---" * 6 + "|")
    for old, new in both:
        cells = (old.published, old.said, new.said, old.numbers, new.numbers)
        lines.append(f"| `{old.claim}` | {' | '.join(map(in_markdown, cells))} |")
    return _HEAD + "\n".join(lines) + "\n"


def load() -> tuple[Side, ...]:
    """The drifted findings that are kept."""
    return TypeAdapter(tuple[Side, ...]).validate_json(SOURCE.read_text(encoding="utf-8"))


def main() -> None:
    """Write the page, or print a folder's findings."""
    parser = command.parser(__doc__)
    parser.add_argument("folder", nargs="?", metavar="FOLDER", type=Path)
    if folder := parser.parse_args().folder:
        found = [each.model_dump() for each in sides(folder)]
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        PAGE.write_text(describe(load(), sides(PINNED)), encoding="utf-8")


if __name__ == "__main__":
    command.run(main)
