"""Running a command in the image: shut in, watched, and stopped when the user says so.

Every container has no network unless something pinned has to be fetched, a root file system
that cannot be written, no capabilities, no way to gain any, and the caller's user. `/tmp` is
memory; one folder of the host can be written.

Not covered: engines that map users (rootless ones already make the container's root the
caller); limits of memory and CPU, which are the engine's.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro import paths
from repro.container import engine
from repro.container.engine import Client
from repro.errors import BadInputError, save_errors
from repro.inputs import located
from repro.paths import NamedPath
from repro.schema import catalog

# -----------------------------------------------------------------------------
# A command on the host, as the same command in a container: paths become mounts.
#
# Whatever a user names by path is mounted read-only under `/inputs`; manifests of the bundle
# are in the image already. Results go to the one folder that is mounted to be written.
#
# Not covered: links inside a folder that lead on through other links outside of it.

INPUTS = "/inputs"
RESULTS = "/bundle/results"
_MOUNTED = f"{INPUTS}/bundle"
HUB = "hub"
"""In `--data NAME=hub`: no path."""
HOST_ONLY = {
    "help": "asked on the host",
    "out": "its folder is mounted where the command in the image writes by default",
    "on": "in a container jobs are its own processes: it reaches no cluster",
}
"""Arguments of a command that the one in the image is not given, and why; it gets all others."""


@dataclass(frozen=True)
class ImageCommand:
    """A command line for the image, and the host's files that it reads."""

    arguments: tuple[str, ...]
    mounts: dict[str, str]
    """Path in the container to path on the host; read-only."""


def image_command(
    command: str, parser: argparse.ArgumentParser, given: argparse.Namespace
) -> ImageCommand:
    """The arguments of a command, which `parser` knows, as given on the host, for the image.

    Raises:
        BadInputError: a path that is named is not there, or cannot be mounted.
    """
    mounts: dict[str, str] = {}
    arguments = [command, *_bundle(mounts)]
    for action in parser._actions:  # noqa: SLF001  # argparse has no other list
        if action.dest not in HOST_ONLY:
            value = getattr(given, action.dest)
            if value != action.default:
                arguments += _forwarded(action, value, mounts)
    return ImageCommand(tuple(arguments), mounts)


def _bundle(mounts: dict[str, str]) -> list[str]:
    """A bundle that is not the one in the image, mounted, and how it is named there."""
    here = host_path(paths.bundle().root)
    if here == host_path(paths.ROOT):
        return []
    mounts[_MOUNTED] = here
    return ["--bundle", _MOUNTED]


def _forwarded(action: argparse.Action, value: object, mounts: dict[str, str]) -> Iterator[str]:
    """One argument as it is given again: each of its values after its flag, if it has one."""
    flag = action.option_strings[-1:]
    if action.nargs == 0:  # a switch
        yield from flag
        return
    for each in value if isinstance(value, list) else [value]:
        text = _value(action, each, mounts)
        if flag and text.startswith("-"):
            yield f"{flag[0]}={text}"
        else:
            yield from (*flag, text)


def _value(action: argparse.Action, value: object, mounts: dict[str, str]) -> str:
    """A value as the container sees it: a path by its place there, anything else as it is."""
    name, separator, path = str(value).partition("=")
    if isinstance(value, Path):
        return _path(action.dest, value, mounts)
    if not isinstance(value, NamedPath):
        return str(value)
    if not (name and separator and path):
        raise BadInputError(f"{action.option_strings[-1]} {value}: expected NAME=PATH")
    of_catalog = action.dest == "substitute" and located.is_name(Path(path), catalog.checkpoints())
    if path == HUB or of_catalog:
        return value
    return f"{name}={_path(f'{action.dest}/{name}', Path(path), mounts)}"


def _path(kind: str, path: Path, mounts: dict[str, str]) -> str:
    """Where a file or folder of the host is in the container; a manifest of the bundle is there."""
    bundle = paths.bundle()
    named = path if path.is_file() else bundle.root / path
    own = named.is_file() and named.resolve().parent == bundle.manifests.resolve()
    if kind == "manifests" and own:
        return (
            f"{_MOUNTED}/manifests/{named.name}"
            if _MOUNTED in mounts
            else f"manifests/{named.name}"
        )
    if not path.exists():  # an engine would make a folder of it, or say less
        raise BadInputError(f"{path}: there is no such file or folder")
    source = Path(host_path(path))
    name = source.name if path.name in ("", "..") else path.name
    target = f"{INPUTS}/{kind}/{name}"
    for place, file in _mounts_of(target, source):
        if mounts.setdefault(place, str(file)) != str(file):
            raise BadInputError(f"{path}: found two files of this name, expected one; rename one")
    return target


def host_path(path: Path) -> str:
    """A path as an engine needs it: absolute, without links, in UTF-8.

    Raises:
        BadInputError: its name is no text.
    """
    found = os.path.realpath(path)
    try:
        found.encode()
    except UnicodeEncodeError as error:
        message = f"{found}: found a name that is not UTF-8, which no engine takes; rename it"
        raise BadInputError(message) from error
    return found


def _mounts_of(target: str, source: Path) -> list[tuple[str, Path]]:
    """What is mounted for one path: itself; of a folder with links out of it, each file.

    The hub's own cache has such folders, and a link leads nowhere in a container that has only
    the folder.
    """
    if not source.is_dir():
        return [(target, source)]
    files = [each for each in sorted(source.rglob("*")) if not each.is_dir()]
    real = {each: Path(host_path(each)) for each in files if each.is_symlink()}
    if all(each.is_relative_to(source) for each in real.values()):
        return [(target, source)]
    return [(f"{target}/{each.relative_to(source)}", real.get(each, each)) for each in files]


# -----------------------------------------------------------------------------
# The container.

Write = Callable[[bytes, bool], None]
"""Called with output, and whether it is standard error."""

_GRACE = 20
"""Seconds that an interrupted run may take to say goodbye."""
NO_NETWORK = "none"


@dataclass(frozen=True)
class ContainerOptions:
    """A container that is about to be made."""

    image: str
    """Digest: a tag may be moved between looking and running."""
    inside: ImageCommand
    results: Path | None = None
    """Folder of the host that can be written."""
    network: str = NO_NETWORK
    gpus: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    terminal: bool = False

    def options(self) -> dict[str, Any]:
        """What the SDK is asked for."""
        from docker.types import Mount  # type: ignore[import-untyped]

        # No `volumes`: those are keyed by the host's path, and split at a colon.
        mounts = [
            Mount(place, host, type="bind", read_only=True)
            for place, host in self.inside.mounts.items()
        ]
        if self.results is not None:
            mounts.append(Mount(RESULTS, host_path(self.results), type="bind"))
        return {
            "image": self.image,
            "command": list(self.inside.arguments),
            "network_mode": self.network,
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "user": f"{os.getuid()}:{os.getgid()}",
            "tmpfs": {"/tmp": "mode=1777"},  # noqa: S108  # in the container
            "mounts": mounts,
            "environment": {"REPRO_IMAGE": self.image, **self.environment},
            "tty": self.terminal,
        }


def run(client: Client, box: ContainerOptions, write: Write) -> int:
    """Run a command to its end, and hand its output on as it comes.

    An interrupt is handed to the command, which keeps what is finished.

    Returns:
        Its exit code.

    Raises:
        CannotRunError: the engine refused; the results folder cannot be made.
    """
    options = _options(box)
    if box.gpus:
        from docker.types import DeviceRequest

        options["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    with _container(client, options) as container:
        output = container.attach(stream=True, logs=True, demux=not box.terminal)
        with _forward_interrupts(container) as stopped:
            container.start()
            for piece in output:
                out, err = (piece, None) if box.terminal else piece
                if out:
                    write(out, False)  # noqa: FBT003
                if err:
                    write(err, True)  # noqa: FBT003
            stopped.set()
            return int(container.wait()["StatusCode"])


def needs_network(client: Client, box: ContainerOptions) -> bool:
    """Whether a run would fetch something that is pinned; asked of its plan, on the network."""
    arguments = ("plan", *(word for word in box.inside.arguments[1:] if word != "--json"), "--json")
    options = {**_options(box), "command": list(arguments), "tty": False}
    with _container(client, options) as container:
        container.start()
        container.wait()
        text = container.logs(stdout=True, stderr=False)
    try:
        plans = json.loads(text)
    except ValueError:  # bad input: the run itself will say so, and needs no network for it
        return False
    return any(job["state"] == "fetch" for plan in plans for job in plan["jobs"])


def _options(box: ContainerOptions) -> dict[str, Any]:
    """What the SDK is asked for; the folder of results is made, for an engine does not."""
    if box.results is not None:
        with save_errors(box.results):
            box.results.mkdir(parents=True, exist_ok=True)
    return box.options()


def terminal_environment() -> dict[str, str] | None:
    """Environment of a terminal, if both outputs are one."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        return None
    columns, lines = shutil.get_terminal_size()
    kind = os.environ.get("TERM", "xterm")
    return {"TERM": kind, "COLUMNS": str(columns), "LINES": str(lines)}


@contextmanager
def _container(client: Client, options: Mapping[str, Any]) -> Iterator[Any]:
    """A container that is gone afterwards, whatever happened."""
    engine.image(client, options["image"])
    container = client.containers.create(**options)
    try:
        yield container
    finally:
        container.remove(force=True)


@contextmanager
def _forward_interrupts(container: Any) -> Iterator[threading.Event]:  # noqa: ANN401
    """Hand SIGINT and SIGTERM to the container; a second one, or silence, ends it for good."""
    over = threading.Event()
    seen: list[int] = []

    def end() -> None:
        if not over.wait(_GRACE):
            _signal(container, "SIGKILL")

    def handle(*_: object) -> None:
        _signal(container, "SIGKILL" if seen else "SIGINT")
        if not seen:
            threading.Thread(target=end, daemon=True).start()
        seen.append(1)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield over
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(container: Any, name: str) -> None:  # noqa: ANN401
    from docker.errors import APIError  # type: ignore[import-untyped]

    with contextlib.suppress(APIError):  # it has ended meanwhile
        container.kill(signal=name)
