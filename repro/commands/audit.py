"""`repro audit`: the environment against the pins."""

import argparse
from pathlib import Path

from repro import report_audit, report_progress
from repro.audit import audit
from repro.commands import options
from repro.errors import EXIT_DONE, EXIT_DRIFT


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro audit`."""
    parser.add_argument(
        "--against",
        metavar="FILE",
        type=Path,
        help="another lock file (default: the bundle's pinned-requirements.txt)",
    )
    options.add_json(parser)
    parser.epilog = (
        "Every file of every package is held to the digest that its installer wrote down, which\n"
        "takes some seconds. Exits 0 as pinned, 4 on drift. CUDA kernels that are missing on a\n"
        "machine without a GPU, and the development tools, are named and are no drift."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print paper's pin, bundle's pin and what is installed, for every package."""
    with report_progress.bytes_bar(quiet=arguments.json) as progress:
        found = audit(arguments.against, progress)
    if arguments.json:
        print(options.as_json(found))
    else:
        report_audit.show(found)
    return EXIT_DRIFT if found.drifted else EXIT_DONE
