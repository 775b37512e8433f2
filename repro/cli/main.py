"""The command line: parsing, dispatch, and the one place where errors become exit codes."""

import argparse
import errno
import importlib
import io
import json
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

from repro import __version__, paths
from repro.errors import (
    EXIT_BAD_INPUT,
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_UNREAD,
    INTERRUPTED,
    BadInputError,
    ReproError,
)
from repro.text import visible_lines

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


COMMANDS = {
    "new": "a bundle of another paper, with a worked example of each kind of claim",
    "list": "what there is to check, and where it stands",
    "plan": "jobs, what is cached, what is missing, what it costs",
    "fetch": "everything that a run will need, with sizes and licences first",
    "run": "run what can be run, and judge it",
    "verify": "findings and verdicts from manifests and records alone",
    "import": "answers that somebody else measured, as records that say so",
    "compare": "two records, runs or packets side by side, question by question",
    "report": "one page for a reader: claims, tables, figures; or a letter to the authors",
    "export": "a packet to archive and sign (RO-Crate), or a table (CSV)",
    "results": "records: list them, show one, clear up",
    "doctor": "what this machine has, what a run needs, and what to do",
    "audit": "the environment against the pins",
    "convert": "a torch checkpoint as safetensors, without unpickling it",
    "pin": "commits and digests of checkpoints, from the hub into the catalog",
    "model": "the catalog's entry of a model of one's own",
    "task": "the catalog's entry of a task of lm-eval, or why it cannot be asked",
    "container": "the image: build it, run manifests in it, audit it",
}
"""Command to its one line of help; the module of the same name holds the rest."""

_EXIT_CODES = """\
exit codes:
  list    0; with --coverage 3 if a printed number is not accounted for
  fetch   0 all is here, 3 something could not be had
  run     0 all jobs done, 3 some could not run
  verify  0 every claim reproduced, 1 any contradicted or invalid, 3 the rest;
          with --since 0 the same words, 4 others
  import  0 the records are there
  compare 0 compared, whatever differs, 3 a part could not be read
  report  as verify
  export  0 written, whatever the verdicts
  doctor  0 a run of tier smoke can work, 3 it cannot
  audit   0 as pinned, 4 drift
  convert 0 the safetensors are there
  new, model, task  0 the folder is written, the entry printed
  pin     0, 3 if the hub does not answer
  container  as run and audit; 3 without an engine or image
  any     2 bad input (nothing was written), 70 a bug, 130 interrupted, 141 nobody reads the output
"""

_OF_THE_SYSTEM = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE),
}
"""What the system may refuse of any file, whoever asks: no bug of ours."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = next((word for word in given if word in COMMANDS), "")
    try:
        make_streams_safe()
        try:
            with _bundle(given) as rest:
                code = _run(rest)
        finally:  # also where argparse is about to end the process, after its help
            if sys.stdout:
                sys.stdout.flush()
    except ReproError as error:
        return _print_error(f"repro {name}: {error}", error.exit_code)
    except KeyboardInterrupt:
        return _print_error(f"\n{INTERRUPTED}", EXIT_INTERRUPTED)
    except OutputClosedError:
        return EXIT_UNREAD
    except Exception as error:  # noqa: BLE001  # the boundary
        if isinstance(error, OSError) and (said := _system_refusal(error)):
            return _print_error(f"repro {name}: {said}", EXIT_BAD_INPUT)
        return _print_error(_bug_report(given), EXIT_BUG)  # whatever it is, it is our bug
    return code


def _run(given: Sequence[str]) -> int:
    os.environ.setdefault("HOME", str(paths.home()))  # libraries that ask for one want an answer
    chosen = _parser(given).parse_args(given)
    module = importlib.import_module(f"repro.cli.{chosen.command}")
    code: int = module.run(chosen)
    return code


@contextmanager
def _bundle(given: list[str]) -> Iterator[list[str]]:
    """Take `--bundle` out of the arguments, wherever it stands, and make it the bundle at hand.

    It comes first: a manifest's name, and what a command is given beside it, are looked up in it.
    """
    parser = _Parser(prog="repro", add_help=False, allow_abbrev=False)
    parser.add_argument("--bundle", type=paths.path_argument)
    end = given.index("--") if "--" in given else len(given)
    chosen, rest = parser.parse_known_args(given[:end])
    rest += given[end:]
    if chosen.bundle is None:
        yield rest
        return
    from repro.packet import build

    with build.opened(chosen.bundle) as folder:
        if not (folder / paths.PAPER).is_file():
            message = f"--bundle {chosen.bundle}: found no {paths.PAPER} there, expected a bundle: "
            raise BadInputError(f"{message}a folder with {paths.PAPER} and manifests/, or a packet")
        with paths.using(folder):
            yield rest


def _system_refusal(error: OSError) -> str:
    """What the system refused and what to do about it; empty if we may have asked wrongly."""
    if error.filename and error.errno in _OF_THE_SYSTEM:
        found = f"found {error.strerror!r}, expected a file or folder that this user may use"
        return f"{os.fsdecode(error.filename)}: {found}; see to its rights, or name another one"
    if not error.filename and "temporary directory" in str(error):
        return f"{error.strerror or error}; name a folder that can be written with TMPDIR"
    return ""


def _print_error(text: str, code: int) -> int:
    print(visible_lines(text), file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Shows arguments that it refuses as they are."""

    def error(self, message: str) -> NoReturn:
        super().error(visible_lines(message))


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="repro",
        description="Check the claims of a paper, one manifest a table, figure or theorem: run "
        "what can be run here, and say what holds.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--bundle",
        metavar="DIR|ZIP",
        help="folder or packet about a paper, with its paper.json; by default the one that this "
        "command is started in or below. It may stand behind COMMAND too",
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
            importlib.import_module(f"repro.cli.{name}").add(command)
    return parser


def _bug_report(given: Sequence[str]) -> str:
    """Write the traceback down where it can be pasted from, and say where; or give it whole."""
    text = (
        "```\n"
        f"repro {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"arguments: {json.dumps(list(given))}\n"
        f"{traceback.format_exc()}```\n"
    )
    last = traceback.format_exc().strip().splitlines()[-1]
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            prefix="repro-bug-",
            suffix=".md",
            delete=False,
            encoding="utf-8",
            errors="backslashreplace",
        ) as log:
            log.write(text)
    except OSError as error:
        where = f"and could not be saved ({error.strerror or error}):\n{text}"
        return f"repro: this is a bug: {last}\n    the log to paste into an issue follows, {where}"
    return f"repro: this is a bug: {last}\n    the log to paste into an issue: {log.name}"


# -----------------------------------------------------------------------------
# The three standard streams, as a shell may hand them over: closed, full, in any encoding.
#
# Not covered: what compiled code and other processes write to them.


class OutputClosedError(Exception):
    """The reader of standard output went away, as `head` does: an end, and no error."""


def make_streams_safe() -> None:
    """Make the streams safe to write to, before the first file is opened.

    From then on a write to standard output raises `OutputClosedError` or `BadInputError`.

    Raises:
        BadInputError: standard output is closed: nothing that is found could be told.
    """
    for number in range(3):  # else the next file that is opened is the stream
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003
    if sys.stderr is sys.__stderr__:  # and no test's or caller's own
        sys.stderr = _stream_like(sys.stderr, _UnfailingStandardError(2, "w", closefd=False))
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = _stream_like(sys.stdout, _Output(1, "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        raise BadInputError(
            "standard output: found it closed, expected a terminal, a file or a pipe; "
            "> /dev/null drops what is printed"
        )


def _stream_like(stream: TextIO | None, raw: io.FileIO) -> io.TextIOWrapper:
    """A stream of the same encoding."""
    encoding = stream.encoding if stream else "utf-8"
    by_line = raw.isatty() or isinstance(raw, _UnfailingStandardError)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, line_buffering=by_line)


class _Output(io.FileIO):
    """Standard output: a failure to write it is told from all others."""

    def write(self, data: "ReadableBuffer") -> int:
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # Python flushes at its end
            if isinstance(error, BrokenPipeError):
                raise OutputClosedError from error
            raise BadInputError(
                f"standard output: cannot be written ({error.strerror}), expected room for what "
                "is printed; free some space or send it elsewhere. What was saved is kept"
            ) from error


class _UnfailingStandardError(io.FileIO):
    """Standard error: what cannot be said there is dropped, and stops nothing."""

    def write(self, data: "ReadableBuffer") -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))


if __name__ == "__main__":
    sys.exit(main())
