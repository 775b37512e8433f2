"""`repro container`: the image, from the host: build it, run manifests in it, audit it."""

import argparse
import sys
from dataclasses import replace
from typing import get_args

from repro.cli import audit as audit_command
from repro.cli import options
from repro.cli import run as run_command
from repro.container import engine
from repro.container import run as container_run
from repro.container.engine import Build, Target
from repro.container.run import ContainerOptions
from repro.environment import machine
from repro.errors import EXIT_DONE, BadInputError

IMAGE = "repro"
"""Name of the image, unless another one is given."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro container`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="build the image from this checkout")
    build.add_argument("--target", choices=get_args(Target), default="cuda", help="default: cuda")
    build.add_argument("--tag", default=IMAGE, help="its name (default: repro)")
    build.add_argument(
        "--network",
        default="default",
        help="network of the build's steps, e.g. host (default: the engine's)",
    )
    build.add_argument(
        "--build-arg",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an argument of the Dockerfile: BASE, TOOLKIT, PIP_INDEX_URL, PIP_CERT, MAX_JOBS",
    )
    run = actions.add_parser("run", help="`repro run` in the image")
    run_command.add_anywhere(run)
    audit = actions.add_parser("audit", help="`repro audit` in the image")
    audit_command.add_anywhere(audit)
    for action in (run, audit):
        action.add_argument("--image", default=IMAGE, help="name or digest (default: repro)")
        action.add_argument("--no-gpu", action="store_true", help="leave this machine's GPUs out")
    parser.epilog = (
        "The container has no network unless something pinned must be fetched, and never with\n"
        "--offline; it cannot write but to --out and /tmp, and runs as the calling user. Exits 0\n"
        "if the image was built; run and audit exit as `repro run` and `repro audit` do; 3 if\n"
        "there is no engine, no image, no GPU runtime or no space.\n"
        "\n"
        "example:\n"
        "  repro container build --target cpu"
    )


def run(arguments: argparse.Namespace) -> int:
    """Build, run or audit."""
    if arguments.action == "build":
        return _build(arguments)
    with engine.engine() as client:
        image = engine.image(client, arguments.image)
        shown = container_run.terminal_environment()
        running = arguments.action == "run"
        box = ContainerOptions(
            image=image.id,
            inside=container_run.image_command(
                arguments.action, _parser(arguments.action), arguments
            ),
            results=arguments.out if running else None,
            gpus=bool(machine.find_gpus()) and not arguments.no_gpu,
            environment=shown or {},
            terminal=shown is not None,
        )
        if running and options.hub_is_reachable(offline=arguments.offline):
            online = replace(box, network="bridge")
            box = online if container_run.needs_network(client, online) else box
        return container_run.run(client, box, _write)


def _parser(action: str) -> argparse.ArgumentParser:
    """What the command in the image takes."""
    parser = argparse.ArgumentParser()
    (run_command if action == "run" else audit_command).add(parser)
    return parser


def _build(arguments: argparse.Namespace) -> int:
    given = {}
    for text in arguments.build_arg:
        name, separator, value = text.partition("=")
        if not (name and separator):
            raise BadInputError(f"--build-arg {text}: expected NAME=VALUE")
        given[name] = value
    wanted = Build(arguments.target, arguments.tag, arguments.network, given)
    with engine.engine() as client:
        for line in engine.build(client, wanted):
            options.print_line(line, error=True)
        made = engine.image(client, arguments.tag)
    options.print_line(f"{arguments.tag}: {made.id}, {made.attrs['Size'] / 1e9:.2f} GB")
    return EXIT_DONE


def _write(piece: bytes, is_error: bool) -> None:  # noqa: FBT001
    stream = sys.stderr if is_error else sys.stdout
    stream.buffer.write(piece)
    stream.flush()
