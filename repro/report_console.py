"""The terminal that every report is printed to, and what reports are made of.

Names and words come from files of others. So `Text` shows what would drive a terminal, nothing is
markup, and the linter bans rich's own classes elsewhere. A table folds into its terminal.
"""

import os
from collections.abc import Iterable
from typing import Any, cast

import rich.table
import rich.text
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.style import Style

from repro.text import visible

INDENT = 4
"""Columns that what belongs to a row stands to the right of it."""

_USUAL = 110
"""Columns of output to a file or a pipe: a row of any table fits on a line."""
_WORD, _SENTENCE = 14, 20
"""Characters that a column takes at least: of a word that it breaks, of a text that it wraps."""


class Text(rich.text.Text):
    """A line, or words of one: whatever is in it, it starts no line and drives no terminal."""

    def __init__(self, text: str = "", *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(visible(text), *arguments, **named)

    def append(self, text: rich.text.Text | str, style: str | Style | None = None) -> "Text":
        """Add words, shown as all others are."""
        super().append(visible(text) if isinstance(text, str) else text, style)
        return self

    @classmethod
    def assemble(cls, *parts: Any, **named: Any) -> "Text":  # noqa: ANN401
        """Words with styles of their own, in a row."""
        return cast("Text", super().assemble(*parts, **named))


class _Terminal(Console):
    """A console to which a string is words and nothing else: no markup, no emoji, no control."""

    def render_str(self, text: str, *, style: str | Style = "", **named: Any) -> Text:  # noqa: ANN401
        return Text(text, style, justify=named.get("justify"), overflow=named.get("overflow"))


class Table(rich.table.Table):
    """A table that keeps every word on every terminal.

    Columns fold; where even words do not fit beside each other, a row is its first cell and below
    it the others, each behind its heading.
    """

    def __init__(self, *headings: str, **named: Any) -> None:  # noqa: ANN401  # rich's own
        super().__init__(*headings, **{"box": box.SIMPLE_HEAD, "padding": (0, 1), **named})

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As columns where they fit."""
        for column in self.columns:
            column.overflow = "fold"
        least = [self._least(console, options, column) for column in self.columns]
        if sum(least) + len(least) < options.max_width:
            yield from super().__rich_console__(console, options)
            return
        first, *headings = (str(column.header) for column in self.columns)
        yield ""
        yield Text(first, style="dim")
        cells = [[*column.cells] for column in self.columns]
        if self.show_footer:
            for column, below in zip(self.columns, cells, strict=True):
                below.append(column.footer)
        for name, *others in zip(*cells, strict=True):
            yield from stacked(_words(name, "bold"), zip(headings, others, strict=True))
        yield ""

    def _least(self, console: Console, options: ConsoleOptions, column: rich.table.Column) -> int:
        """Width below which a column does not read well, with a blank on either side."""
        if column.width is not None:  # whoever says so has looked
            return 0
        cells = (column.header, column.footer, *column.cells)
        sizes = [Measurement.get(console, options, each) for each in cells]
        whole, word = max(each.maximum for each in sizes), max(each.minimum for each in sizes)
        if column.no_wrap:
            return whole + 2
        return (_SENTENCE if whole > 2 * _SENTENCE else min(word, _WORD)) + 2


def stacked(
    first: rich.text.Text, others: Iterable[tuple[str, RenderableType]]
) -> Iterable[RenderableType]:
    """One row where there is no room for columns: its first cell, and below it the others."""
    yield first
    shown = [Text.assemble((f"{name} ", "dim"), _words(cell)) for name, cell in others if str(cell)]
    if shown:
        yield Padding(Text(" · ").join(shown), (0, 0, 0, INDENT))


def _words(cell: RenderableType, style: str = "") -> Text:
    return Text.assemble(cell if isinstance(cell, rich.text.Text) else str(cell), style=style)


def console(*, stderr: bool = False) -> Console:
    """Standard output or error, as wide as its terminal, or as COLUMNS says."""
    found = _Terminal(highlight=False, markup=False, stderr=stderr)
    if not (found.is_terminal or stderr or os.environ.get("COLUMNS")) and found.width < _USUAL:
        found.width = _USUAL
    return found
