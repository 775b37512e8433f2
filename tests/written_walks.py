"""Walks as the documents have them: commands, what they print, and files to write.

In a `console` block a line that begins with `$ ` is a command, the lines below it are what it
prints, in this order, with `…` for what is left out, and `(exit N)` is its exit code, 0 without. A
block below "Save as `FILE`:" is written, one below "Add to `FILE`, under `KEY`:" is merged. A line
`# not run by the tests: WHY` in a block keeps it from being run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Block:
    """A fenced block of a document."""

    line: int
    kind: str
    before: str
    """The paragraph that it follows."""
    lines: list[str] = field(default_factory=list)

    @property
    def skipped(self) -> str:
        """Why it is not run; empty if it is."""
        found = re.search(r"^# not run by the tests: (.+)$", "\n".join(self.lines), re.MULTILINE)
        return found[1] if found else ""


@dataclass
class Command:
    """One command of a `console` block."""

    text: str
    printed: list[str] = field(default_factory=list)
    code: int = 0


def blocks_of(document: Path) -> list[Block]:
    """Every fenced block of a document."""
    found: list[Block] = []
    paragraph, inside = "", False
    for number, line in enumerate(document.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            if not inside:
                found.append(Block(number, line.removeprefix("```"), paragraph))
            inside, paragraph = not inside, ""
        elif inside:
            found[-1].lines.append(line)
        else:
            paragraph = f"{paragraph} {line}".strip() if line else paragraph
            paragraph = paragraph if line or not paragraph.endswith(".") else ""
    return found


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a block with what they print."""
    current: Command | None = None
    for line in block.lines:
        if line.startswith("$ "):
            if current:
                yield current
            current = Command(line.removeprefix("$ "))
        elif current and current.text.endswith("\\") and not current.printed:
            current.text = current.text.removesuffix("\\") + line.strip()
        elif current and (exits := re.fullmatch(r"\(exit (\d+)\)", line)):
            current.code = int(exits[1])
        elif current:
            current.printed.append(line)
    if current:
        yield current
