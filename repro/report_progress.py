"""Progress of long work on standard error: one bar for all jobs, one for the job that runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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

from repro.report_console import Text, console

if TYPE_CHECKING:
    from repro.plan import PlannedJob


class Bars:
    """The bars of one run: all jobs, and each job that is running."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._all = progress.add_task("jobs", total=None, visible=False, note="")
        self._running: dict[str, TaskID] = {}

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
def bars(*, quiet: bool) -> Iterator[Bars]:
    """Bars on standard error; nothing is drawn where it is not a terminal."""
    counted = (MofNCompleteColumn(), TimeElapsedColumn())
    with _progress(_Words("{task.description}"), *counted, quiet=quiet) as shown:
        yield Bars(shown)


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
