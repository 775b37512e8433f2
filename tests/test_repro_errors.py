"""What is said of errors that other libraries raise."""

import pytest

from repro.errors import first_line


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
