"""The three standard streams, as a shell may hand them over: closed, full, in any encoding.

Not covered: what compiled code and other processes write to them.
"""

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from repro.errors import BadInputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class NobodyReadsError(Exception):
    """The reader of standard output went away, as `head` does: an end, and no error."""


def prepare() -> None:
    """Make the streams safe to write to, before the first file is opened.

    From then on a write to standard output raises `NobodyReadsError` or `BadInputError`.

    Raises:
        BadInputError: standard output is closed: nothing that is found could be told.
    """
    for number in range(3):  # else the next file that is opened is the stream
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003
    if sys.stderr is sys.__stderr__:  # and no test's or caller's own
        sys.stderr = _wrapped(sys.stderr, _Unheard(2, "w", closefd=False))
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = _wrapped(sys.stdout, _Output(1, "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        message = (
            "standard output: found it closed, expected a terminal, a file or a pipe; "
            "> /dev/null drops what is printed"
        )
        raise BadInputError(message)


def _wrapped(stream: TextIO | None, raw: io.FileIO) -> io.TextIOWrapper:
    """A stream of the same encoding."""
    encoding = stream.encoding if stream else "utf-8"
    by_line = raw.isatty() or isinstance(raw, _Unheard)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, line_buffering=by_line)


class _Output(io.FileIO):
    """Standard output: a failure to write it is told from all others."""

    def write(self, data: "ReadableBuffer") -> int:
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # Python flushes at its end
            if isinstance(error, BrokenPipeError):
                raise NobodyReadsError from error
            message = (
                f"standard output: cannot be written ({error.strerror}), expected room for what "
                "is printed; free some space or send it elsewhere. What was saved is kept"
            )
            raise BadInputError(message) from error


class _Unheard(io.FileIO):
    """Standard error: what cannot be said there is dropped, and stops nothing."""

    def write(self, data: "ReadableBuffer") -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))
