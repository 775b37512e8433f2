"""The terminal: where reports are printed, and the progress of long work.

Names and words come from files of others. So `Text` shows what would drive a terminal, nothing is
markup, and the linter bans rich's own classes elsewhere. A table folds into its terminal.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import rich.table
import rich.text
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.style import Style

from repro.text import visible

if TYPE_CHECKING:
    from repro.planning.plan import PlannedJob
    from repro.report.compared_view import Section


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
            yield from stacked_row(_words(name, "bold"), zip(headings, others, strict=True))
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


def stacked_row(
    first: rich.text.Text, others: Iterable[tuple[str, RenderableType]]
) -> Iterable[RenderableType]:
    """One row where there is no room for columns: its first cell, and below it the others."""
    yield first
    shown = [Text.assemble((f"{name} ", "dim"), _words(cell)) for name, cell in others if str(cell)]
    if shown:
        yield Padding(Text(" · ").join(shown), (0, 0, 0, INDENT))


def _words(cell: RenderableType, style: str = "") -> Text:
    return Text.assemble(cell if isinstance(cell, rich.text.Text) else str(cell), style=style)


def show_sections(several: Iterable["Section"]) -> None:
    """Print headings, tables and notes."""
    out = console()
    for each in several:
        out.print()
        out.print(Text(each.title, style="bold"))
        if each.rows:
            table = Table(*each.headings)
            for row in each.rows:
                table.add_row(*row)
            out.print(table)
        for note in each.notes:
            out.print(Text(note, style="dim"))


def console(*, stderr: bool = False) -> Console:
    """Standard output or error, as wide as its terminal, or as COLUMNS says."""
    found = _Terminal(highlight=False, markup=False, stderr=stderr)
    if not (found.is_terminal or stderr or os.environ.get("COLUMNS")) and found.width < _USUAL:
        found.width = _USUAL
    return found


# -----------------------------------------------------------------------------
# Progress of long work on standard error: one bar for all jobs, one for the job that runs.


class ProgressBars:
    """The bars of one run: all jobs, and each job that is running."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._all = progress.add_task("jobs", total=None, visible=False, note="")
        self._running: dict[str, TaskID] = {}
        self._kernels: TaskID | None = None

    def say(self, text: str) -> None:
        """A line above the bars."""
        self.progress.console.print(text, style="dim")

    def expect(self, count: int) -> None:
        """Tell how many jobs will run."""
        self.progress.update(self._all, total=count, completed=0, visible=True)

    def advance(self, job: "PlannedJob", done: int, total: int, note: str) -> None:
        """A job has done `done` of `total` units."""
        name = job.slot.name
        if name not in self._running:
            self._running[name] = self.progress.add_task(name, total=total, note=note)
        self.progress.update(self._running[name], completed=done, total=total, note=note)

    def compiling(self, count: int, kept: str) -> None:
        """So many kernels were compiled by now, into the folder `kept`; 0 while none is."""
        if self._kernels is None:
            if not count:
                return
            self.say(f"compiling kernels, once: the next run finds them in {kept}")
            self._kernels = self.progress.add_task("compiling kernels, once", total=None, note="")
        self.progress.update(self._kernels, completed=count, visible=bool(count))

    def finish(self, job: "PlannedJob") -> None:
        """A job ended: its bar goes, the bar of all jobs moves."""
        running = self._running.pop(job.slot.name, None)
        if running is not None:
            self.progress.remove_task(running)
        self.progress.advance(self._all)
        if not self.progress.console.is_terminal:  # a log has no bars, and wants a sign of life
            self.say(f"done: {job.slot.name}")


class _Words(TextColumn):
    """Words of a task as they are; rich's own column takes them for markup."""

    def render(self, task: Task) -> Text:
        return Text(self.text_format.format(task=task), style=self.style)


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[ProgressBars]:
    """Bars on standard error; nothing is drawn where it is not a terminal."""
    counted = (MofNCompleteColumn(), TimeElapsedColumn())
    with _progress(_Words("{task.description}"), *counted, quiet=quiet) as shown:
        yield ProgressBars(shown)


@contextmanager
def bytes_bar(*, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """One bar on standard error that counts bytes."""
    with _progress(_Words("checking files"), DownloadColumn(), quiet=quiet) as shown:
        task = shown.add_task("", total=None, note="")

        def advance(done: int, total: int, note: str) -> None:
            shown.update(task, completed=done, total=total, note=note)

        yield advance


def _progress(name: ProgressColumn, *counts: ProgressColumn, quiet: bool) -> Progress:
    """A name, a bar, what is counted, the time left and a note."""
    return Progress(
        name,
        BarColumn(),
        *counts,
        TimeRemainingColumn(),
        _Words("{task.fields[note]}", style="dim"),
        console=console(stderr=True),
        disable=quiet,
        transient=True,
    )
