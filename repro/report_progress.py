"""Progress of long work on standard error: one bar for all jobs, one for the job that runs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from repro.plan import PlannedJob
from repro.report_plan import name_of


class Bars:
    """The bars of one run."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._all = progress.add_task("jobs", total=None, visible=False, note="")
        self._current = progress.add_task("", total=None, visible=False, note="")
        self._started = 0

    def say(self, text: str) -> None:
        """A line above the bars."""
        self.progress.console.print(text, style="dim")

    def expect(self, jobs: Iterable[PlannedJob]) -> None:
        """Tell how many jobs will run."""
        total = len(list(jobs))
        self.progress.update(self._all, total=total, completed=0, visible=True)

    def start(self, job: PlannedJob) -> "JobBar":
        """A job starts: the bar of all jobs counts those before it."""
        self.progress.update(self._all, completed=self._started)
        self._started += 1
        self.progress.reset(self._current, description=name_of(job), visible=True)
        return JobBar(self.progress, self._current)


class JobBar:
    """The bar of one job; called with what is done."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show `done` of `total`."""
        self._progress.update(self._task, completed=done, total=total, note=note)


@contextmanager
def bars(*, quiet: bool) -> Iterator[Bars]:
    """Bars on standard error; nothing is drawn where it is not a terminal."""
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=Console(stderr=True, highlight=False),
        disable=quiet,
        transient=True,
    )
    with shown:
        yield Bars(shown)


@contextmanager
def bytes_bar(*, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """One bar on standard error that counts bytes."""
    shown = Progress(
        TextColumn("checking files"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=Console(stderr=True, highlight=False),
        disable=quiet,
        transient=True,
    )
    with shown:
        yield JobBar(shown, shown.add_task("", total=None, note=""))
