"""The command line of a tool or a benchmark: its docstring is its help, an error is one message."""

import argparse
import sys
from collections.abc import Callable

from repro.errors import EXIT_BAD_INPUT, EXIT_INCOMPLETE, ReproError


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring, with its lines as they are."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run(main: Callable[[], None]) -> None:
    """Call it; what it could not have or could not read ends the process with a message."""
    try:
        main()
    except ReproError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        expected = "expected a file or folder that can be used"
        print(f"{error.filename}: found {error.strerror!r}, {expected}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def need_gpu(*, kernels: bool = False) -> None:
    """End the process with a message where there is no GPU, or Mamba's `kernels` cannot run."""
    import torch

    from runner.models.mamba2_mixer import kernels_lacking

    missing = "" if torch.cuda.is_available() else "no GPU that torch can use"
    if not missing and kernels:
        missing = kernels_lacking()
    if missing:
        advice = "`repro doctor` says what this machine has and what to do"
        print(f"this needs a GPU with the pinned stack: found {missing}; {advice}", file=sys.stderr)
        sys.exit(EXIT_INCOMPLETE)
