"""Every error that ends a command, with its exit code. A contradicted claim is none of them."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from repro.text import visible

# What a command line user sees; README documents the table and a test holds it.
EXIT_DONE = 0
EXIT_CONTRADICTED = 1
EXIT_BAD_INPUT = 2
EXIT_INCOMPLETE = 3
EXIT_DRIFT = 4
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_UNREAD = 141  # as a shell counts a program that SIGPIPE ended

INTERRUPTED = "interrupted; finished jobs are kept, the same command goes on"


class ReproError(Exception):
    """An expected failure: one message for the user, no traceback."""

    exit_code = EXIT_BUG


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one file."""

    where: str
    """File and path inside it, e.g. `manifests/mmlu.json: $.claims[3].margin`."""
    found: str
    expected: str

    def __str__(self) -> str:
        where, found, expected = map(visible, (self.where, self.found, self.expected))
        return f"{where}\n    found:    {found}\n    expected: {expected}"


class BadInputError(ReproError):
    """Something given by the user is wrong; nothing was written."""

    exit_code = EXIT_BAD_INPUT

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        lines = [message, *(str(problem) for problem in self.problems)]
        super().__init__("\n".join(lines))


class CannotRunError(ReproError):
    """A job cannot run here (no weights, no data, no space); the other jobs may."""

    exit_code = EXIT_INCOMPLETE


class CannotSaveError(CannotRunError):
    """Results cannot be written: no space, or no right to."""


class CannotReadError(CannotRunError):
    """Something is there and this reader cannot have it: a right or a disk fails, no content."""


def cannot_read(path: object, error: OSError) -> str:
    """A file that is there and cannot be read, and what to do."""
    remedy = " (its owner lets others: chmod -R a+rX)" if isinstance(error, PermissionError) else ""
    return f"{path} cannot be read: {error.strerror}{remedy}"


def first_line(error: BaseException) -> str:
    """What another library's error says first; its kind, if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def save_errors(path: Path, named_by: str = "--out") -> Iterator[None]:
    """Turn a failure to write `path` into a message that says what to do about it.

    Args:
        path: What is written, or its folder.
        named_by: The option or variable that says where it lies.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            remedy = f"free some space or choose another {named_by}; finished jobs are kept"
        elif error.errno in _BY_PLACE:
            remedy = f"choose a folder that can be written with {named_by}"
        else:
            raise
        raise CannotSaveError(f"could not save {path}: {error.strerror}; {remedy}") from error


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BY_PLACE = {
    *(errno.EACCES, errno.EROFS, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
    *(errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.EILSEQ, errno.EIO, errno.ESTALE),
}
"""Refusals of the system that depend on the place, and on nothing that we do there."""
