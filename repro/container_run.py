"""Running a command in the image: shut in, watched, and stopped when the user says so.

Every container has no network unless something pinned has to be fetched, a root file system
that cannot be written, no capabilities, no way to gain any, and the caller's user. `/tmp` is
memory; one folder of the host can be written.

Not covered: engines that map users (rootless ones already make the container's root the
caller); limits of memory and CPU, which are the engine's.
"""

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

from repro import container_engine
from repro.container_arguments import RESULTS, Inside, of_host
from repro.container_engine import Client
from repro.errors import saving

Write = Callable[[bytes, bool], None]
"""Called with output, and whether it is standard error."""

_GRACE = 20
"""Seconds that an interrupted run may take to say goodbye."""
NO_NETWORK = "none"


@dataclass(frozen=True)
class Box:
    """A container that is about to be made."""

    image: str
    """Digest: a tag may be moved between looking and running."""
    inside: Inside
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
            mounts.append(Mount(RESULTS, of_host(self.results), type="bind"))
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


def run(client: Client, box: Box, write: Write) -> int:
    """Run a command to its end, and hand its output on as it comes.

    An interrupt is handed to the command, which keeps what is finished.

    Returns:
        Its exit code.

    Raises:
        CannotRunError: the engine refused; the results folder cannot be made.
    """
    options = _options(box)
    if box.gpus:
        options["device_requests"] = [_all_gpus()]
    with _container(client, options) as container:
        output = container.attach(stream=True, logs=True, demux=not box.terminal)
        with _interrupts(container) as stopped:
            container.start()
            for piece in output:
                out, err = (piece, None) if box.terminal else piece
                if out:
                    write(out, False)  # noqa: FBT003
                if err:
                    write(err, True)  # noqa: FBT003
            stopped.set()
            return int(container.wait()["StatusCode"])


def needs_network(client: Client, box: Box) -> bool:
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


def _options(box: Box) -> dict[str, Any]:
    """What the SDK is asked for; the folder of results is made, for an engine does not."""
    if box.results is not None:
        with saving(box.results):
            box.results.mkdir(parents=True, exist_ok=True)
    return box.options()


def terminal() -> dict[str, str] | None:
    """Environment of a terminal, if both outputs are one."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        return None
    columns, lines = shutil.get_terminal_size()
    kind = os.environ.get("TERM", "xterm")
    return {"TERM": kind, "COLUMNS": str(columns), "LINES": str(lines)}


def _all_gpus() -> Any:  # noqa: ANN401  # docker has no types
    from docker.types import DeviceRequest

    return DeviceRequest(count=-1, capabilities=[["gpu"]])


@contextmanager
def _container(client: Client, options: Mapping[str, Any]) -> Iterator[Any]:
    """A container that is gone afterwards, whatever happened."""
    image = options["image"]
    container_engine.image(client, image)
    container = client.containers.create(**options)
    try:
        yield container
    finally:
        container.remove(force=True)


@contextmanager
def _interrupts(container: Any) -> Iterator[threading.Event]:  # noqa: ANN401
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
