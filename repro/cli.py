"""The command line: parsing, dispatch, and the one place where errors become exit codes."""

import argparse
import importlib
import json
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from repro import __version__
from repro.errors import EXIT_BAD_INPUT, EXIT_BUG, EXIT_INTERRUPTED, ReproError, cannot_read
from repro.text import visible_lines

COMMANDS = {
    "list": "what there is to check, and where it stands",
    "plan": "jobs, what is cached, what is missing, what it costs",
    "run": "run what can be run, and judge it",
    "verify": "findings and verdicts from manifests and records alone",
    "report": "one page for a reader: claims, tables, figures, what was not run",
    "export": "a packet to archive and sign (RO-Crate), or a table (CSV)",
    "results": "records: list them, show one, clear up",
    "audit": "the environment against the pins",
    "convert": "a torch checkpoint as safetensors, without unpickling it",
    "pin": "commits and digests of checkpoints, from the hub into the catalog",
    "container": "the image: build it, run manifests in it, audit it",
}
"""Command to its one line of help; the module of the same name holds the rest."""

_EXIT_CODES = """\
exit codes:
  list    0; with --coverage 3 if a printed number is not accounted for
  run     0 all jobs done, 3 some could not run
  verify  0 every claim reproduced, 1 any contradicted or invalid, 3 the rest
  report  as verify
  export  0 written, whatever the verdicts
  audit   0 as pinned, 4 drift
  convert 0 the safetensors are there
  pin     0, 3 if the hub does not answer
  container  as run and audit; 3 without an engine or image
  any     2 bad input (nothing was written), 70 a bug, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(given)
    chosen = parser.parse_args(given)
    try:
        module = importlib.import_module(f"repro.commands.{chosen.command}")
        code: int = module.run(chosen)
    except ReproError as error:
        print(visible_lines(f"repro {chosen.command}: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ninterrupted; finished jobs are kept, the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_INTERRUPTED
    except PermissionError as error:
        print(f"repro {chosen.command}: {cannot_read(error.filename, error)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except Exception:  # noqa: BLE001  # the boundary: whatever it is, it is our bug
        print(visible_lines(_bug_report(given)), file=sys.stderr)
        return EXIT_BUG
    return code


class _Parser(argparse.ArgumentParser):
    """Shows arguments that it refuses as they are."""

    def error(self, message: str) -> NoReturn:
        super().error(visible_lines(message))


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="repro",
        description="Check the claims of arXiv 2406.00209, one manifest a table, figure or "
        "theorem: run what can be run here, and say what holds.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"repro {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in given:  # the others' modules need not be imported to parse this one
            importlib.import_module(f"repro.commands.{name}").add(command)
    return parser


def _bug_report(given: Sequence[str]) -> str:
    """Write the traceback down where it can be pasted from, and say where."""
    text = (
        "```\n"
        f"repro {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"arguments: {json.dumps(list(given))}\n"
        f"{traceback.format_exc()}```\n"
    )
    with tempfile.NamedTemporaryFile(
        "w", prefix="repro-bug-", suffix=".md", delete=False, encoding="utf-8"
    ) as log:
        log.write(text)
    last = traceback.format_exc().strip().splitlines()[-1]
    return f"repro: this is a bug: {last}\n    the log to paste into an issue: {Path(log.name)}"


if __name__ == "__main__":
    sys.exit(main())
