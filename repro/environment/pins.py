"""What the environment is held to: the lock files, and the versions that the paper names.

Only the lock files have exact versions. They are read with two regular expressions, so
that `repro audit` and `repro verify` need no packaging library.
"""

import re
from pathlib import Path

from repro import fileio, json_text, paths
from repro.errors import BadInputError, Problem
from repro.schema import reading
from repro.schema.base import Frozen, Sha256

LOCK = paths.LOCK
KERNELS = paths.ROOT / "pinned-kernels.txt"
DEVELOPMENT = paths.ROOT / "requirements-dev.txt"

_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[A-Za-z0-9,._ -]+\])?==(?P<version>[^\s;*]+)"
    r"(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64})+)"
)
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_PYTHON = re.compile(r"^# .*--python-version[ =](\d+\.\d+)", re.MULTILINE)
_SHOWN = 80
"""Characters of a bad line that an error quotes."""


class Pin(Frozen):
    """One package at one exact version."""

    name: str
    """Normalised name."""
    version: str
    hashes: tuple[Sha256, ...]
    """SHA-256 of every file that may be installed."""


class PaperPin(Frozen):
    """One version that the paper names, or would have had to name."""

    package: str
    """Normalised name on the package index."""
    name: str
    """Name as printed."""
    printed: str | None
    """Version as printed; null if the paper names none."""
    place: str
    """Where in the paper."""
    stands_in: str | None
    """Why the bundle's version is another one; null if it is the printed one."""
    note: str
    """What else a reader has to know; may be empty."""

    @property
    def version(self) -> str | None:
        """The printed version as the package index writes it: no `v`, no build label."""
        return self.printed and self.printed.removeprefix("v").partition("+")[0]


class _PaperPins(Frozen):
    source: str
    pins: tuple[PaperPin, ...]


def normalise(name: str) -> str:
    """The one spelling of a package's name that all others are compared in (PEP 503).

    Example:
        >>> normalise("Flash_Attn")
        'flash-attn'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def read(path: Path) -> dict[str, Pin]:
    """Read a lock file: every package with `==` and hashes, nothing else.

    Raises:
        BadInputError: with every offending line, if a line is anything else: a range, a
            package without hashes, a marker, an option, a second version of a package.
    """
    try:
        text = fileio.read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        why = json_text.explain_error(error)
        raise BadInputError(f"{path}: cannot be read as a lock file: {why}") from error
    pins: dict[str, Pin] = {}
    problems: list[Problem] = []
    for number, line in _logical_lines(text):
        where = f"{path}: line {number}"
        parsed = _PIN.fullmatch(line)
        if parsed is None:
            expected = "name==version --hash=sha256:<64 hexadecimal digits>"
            problems.append(Problem(where, line[:_SHOWN], expected))
            continue
        name = normalise(parsed["name"])
        pin = Pin(
            name=name, version=parsed["version"], hashes=tuple(_HASH.findall(parsed["hashes"]))
        )
        if name in pins:
            problems.append(Problem(where, line[:_SHOWN], f"one line for {name}"))
        pins[name] = pin
    if not pins and not problems:
        problems.append(Problem(str(path), "no package", "at least one pinned package"))
    if problems:
        message = f"{path.name} is not a lock file with exact versions and hashes"
        raise BadInputError(message, problems)
    return pins


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines without comments, joined where they end in a backslash, with their first number."""
    lines: list[tuple[int, str]] = []
    waiting, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw).strip()
        first = first if waiting else number
        waiting = f"{waiting} {line.removesuffix(chr(92)).strip()}".strip()
        if not line.endswith("\\"):
            if waiting:
                lines.append((first, waiting))
            waiting = ""
    if waiting:
        lines.append((first, waiting))
    return lines


def python_version(path: Path) -> str | None:
    """The Python that a lock file was compiled for, from the command in its header."""
    found = _PYTHON.search(fileio.read_text(path))
    return found[1] if found else None


def versions() -> dict[str, str]:
    """Every pinned package, CUDA kernels included, with its version."""
    return {name: pin.version for name, pin in (read(LOCK) | read(KERNELS)).items()}


def paper() -> dict[str, PaperPin]:
    """The paper's own pins, by package; none where the bundle does not say.

    Raises:
        BadInputError: with every problem of the file, if it cannot be used.
    """
    path = paths.bundle().catalog / "paper-pins.json"
    if not path.is_file():
        return {}
    advice = "It is part of the bundle: restore it."
    found = reading.load(path, "list of the paper's pins", _PaperPins, advice)
    return {pin.package: pin for pin in found.pins}
