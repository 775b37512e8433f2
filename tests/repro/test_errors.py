"""What is said of errors that other libraries and the system raise."""

import errno
import os
from pathlib import Path

import pytest

from repro.errors import CannotSaveError, first_line, save_errors


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("\nno route\n  to the host"), "no route"),
        (ConnectionError(), "ConnectionError"),  # Python's own may say nothing
        (ValueError(" \n"), "ValueError"),
    ],
)
def test_the_first_line_of_an_error(error: Exception, said: str) -> None:
    assert first_line(error) == said


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space or choose another REPRO_CACHE; finished jobs are kept"),
        (errno.EROFS, "choose a folder that can be written with REPRO_CACHE"),
        (errno.EEXIST, "choose a folder that can be written with REPRO_CACHE"),
        (errno.ENAMETOOLONG, "choose a folder that can be written with REPRO_CACHE"),
    ],
)
def test_what_cannot_be_saved_names_what_decides_its_place(number: int, remedy: str) -> None:
    with pytest.raises(CannotSaveError) as raised, save_errors(Path("/a/b"), "REPRO_CACHE"):
        raise OSError(number, os.strerror(number), "/a/b/c")
    assert str(raised.value) == f"could not save /a/b: {os.strerror(number)}; {remedy}"


def test_what_depends_on_no_place_stays_as_it_is() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"), save_errors(Path("/a/b")):
        raise OSError(errno.EBADF, "Bad file descriptor")
