"""One command line, run in this process and watched: what must hold for every input.

It ends with an exit code from 0 to 4 and no traceback, within a second of CPU time, opens no file
for writing outside one folder, starts no process, opens no socket, and prints nothing that would
drive a terminal.

Not covered: what compiled code opens by itself; memory, which `fuzz.run` caps for the process.
"""

import io
import os
import re
import signal
import sys
import time
import traceback
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from repro.cli.main import main
from repro.errors import EXIT_BAD_INPUT, EXIT_BUG, EXIT_DRIFT

SLOW = 1.0
"""Seconds of CPU time that one command may take."""
HANGS = 10
"""Seconds on the clock after which a command is interrupted: it waits for something."""

_WRITES = frozenset(
    {
        *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate"),
        *("os.chmod", "os.chown", "os.utime", "os.mkfifo", "os.mknod", "shutil.rmtree"),
    }
)
_FORBIDDEN = ("subprocess.", "socket.", "os.system", "os.exec", "os.fork", "os.posix_spawn")
_UNSEEN = ("Cc", "Cf", "Zl", "Zp")
"""Categories of characters that move, hide or turn what is beside them; a line end may be."""
_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Failure(Exception):  # noqa: N818  # of what must hold, not an error of the fuzzer
    """Something that must hold does not."""

    def __init__(self, kind: str, what: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {what}")
        self.kind, self.what, self.detail = kind, what, detail


class _HangsError(BaseException):
    """Raised by the alarm; no handler of ordinary exceptions swallows it."""


@dataclass(frozen=True)
class Ended:
    """A command that ended as it may."""

    code: int
    out: str
    err: str
    seconds: float
    """CPU time."""


class _Watch:
    """What the audit hook holds the process to while a command runs; hooks cannot be removed."""

    def __init__(self) -> None:
        self.allowed: Path | None = None
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = set(mode or "") & set("wax+") or (flags or 0) & _FLAGS
            if writes and isinstance(path, str | bytes | os.PathLike):
                self._write(event, path)
        elif event in ("os.remove", "os.rmdir") and arguments[1] != -1:
            pass  # below a folder whose removal was an event of its own: `shutil.rmtree`
        elif event in _WRITES:
            both = arguments[: 2 if event in ("os.rename", "os.link") else 1]
            # What a link leads to is not written; the link is.
            for path in arguments[1:2] if event == "os.symlink" else both:
                within = arguments[1] if event in ("os.remove", "os.rmdir") else -1
                folder = Path(f"/proc/self/fd/{within}").readlink() if within >= 0 else Path()
                self._write(event, folder / os.fsdecode(path))
        elif event.startswith(_FORBIDDEN):
            self.seen.append(f"{event} {str(arguments)[:200]}")

    def _write(self, event: str, path: Any) -> None:
        name = os.fsdecode(path)
        # The folder may be a link; the last step of a name that is removed or made is not followed.
        real = Path(os.path.realpath(Path(name).parent)) / Path(name).name
        inside = self.allowed is not None and real.is_relative_to(self.allowed)
        if not inside and name != os.devnull:
            self.seen.append(f"{event} {name}")


_watch = _Watch()


@contextmanager
def watched(allowed: Path | None) -> Iterator[list[str]]:
    """What is done inside that may not be; writing is allowed in one folder, or nowhere."""
    _watch.allowed = None if allowed is None else Path(os.path.realpath(allowed))
    _watch.seen, _watch.active = [], True
    try:
        yield _watch.seen
    finally:
        _watch.active = False


def _interrupt(_: int, __: FrameType | None) -> None:
    raise _HangsError


def run(arguments: Sequence[object], allowed: Path | None = None, encoding: str = "utf-8") -> Ended:
    """Run one command as the command line does, and hold it to what must hold.

    Args:
        arguments: As after `repro`.
        allowed: The one folder that it may write to; None for no folder.
        encoding: Of standard output.

    Raises:
        Failure: at the first thing that does not hold.
    """
    # As a terminal or a pipe takes it: the one refuses what it has no sign for, the other not.
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    err = io.StringIO()
    before = signal.signal(signal.SIGALRM, _interrupt)
    signal.alarm(HANGS)
    start = time.process_time()
    try:
        with redirect_stdout(out), redirect_stderr(err), watched(allowed) as seen:
            code = main([str(each) for each in arguments])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else EXIT_BUG
    except _HangsError:
        raise Failure("hang", _where(traceback.format_exc())) from None
    except Exception as error:
        raise Failure("traceback", _where(traceback.format_exc()), str(error)) from error
    finally:
        seconds = time.process_time() - start
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    ended = Ended(code, raw.getvalue().decode(encoding), err.getvalue(), seconds)
    _hold(ended, seen)
    return ended


def _hold(ended: Ended, seen: list[str]) -> None:
    """Hold what a command did to what it may do."""
    code, err = ended.code, ended.err
    if code == EXIT_BUG:
        log = _bug_log(err)
        raise Failure("bug", _where(log), log)
    if not 0 <= code <= EXIT_DRIFT:
        raise Failure("exit code", str(code), err)
    if seen:
        raise Failure("side effect", seen[0].partition(" ")[0], "\n".join(seen))
    for character in sorted(set(ended.out + err) - {"\n"}):
        if unicodedata.category(character) in _UNSEEN:
            raise Failure("unseen", f"U+{ord(character):04X} reaches the terminal", ended.out + err)
    if code == EXIT_BAD_INPUT and (ended.out or not re.search("^repro ", err, re.MULTILINE)):
        raise Failure("message", "no message of ours", err)
    if ended.seconds > SLOW:
        raise Failure("slow", f"{ended.seconds:.1f} s of CPU time")


def _bug_log(err: str) -> str:
    """The log that a bug report names, read and removed."""
    named = re.search(r"into an issue: (.*)", err)
    if named is None:
        return err
    path = Path(named[1])
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text


def _where(text: str) -> str:
    """The last line of ours in a traceback and what was raised: one name for one bug."""
    frames = re.findall(r'File ".*?/((?:repro|verify)/[^"]*)", line (\d+)', text)
    file, line = frames[-1] if frames else ("?", "0")
    raised = re.findall(r"^(\w[\w.]*(?:Error|Exception|Warning|Failure)\b.*)$", text, re.MULTILINE)
    return f"{file}:{line} {(raised or [text[-80:]])[-1][:160]}"
