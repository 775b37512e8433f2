"""`repro audit`: the environment against the pins, or against another environment."""

import argparse

from repro import paths
from repro.audit import compare
from repro.audit.audit import Audit, audit
from repro.cli import options
from repro.errors import EXIT_DONE, EXIT_DRIFT, BadInputError
from repro.report import console, console_audit
from repro.schema import validate


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro audit`."""
    add_anywhere(parser)
    parser.epilog = (
        "Every file of every package is held to the digest that its installer wrote down, which\n"
        "takes some seconds. In an image OS packages, wheels, kernels, the bundle's own files and\n"
        "the path of a forward pass are also held to what they were when it was built. Exits 0 as\n"
        "pinned (or as the other environment), 4 on drift. CUDA kernels that are missing without\n"
        "a GPU, and the development tools, are named and are no drift.\n"
        "\n"
        "example:\n"
        "  repro audit --format cyclonedx"
    )


def add_anywhere(parser: argparse.ArgumentParser) -> None:
    """What `audit` and `container audit` both take."""
    parser.add_argument(
        "--against",
        metavar="FILE",
        type=paths.path_argument,
        help="another lock file (default: the bundle's pinned-requirements.txt); or what `repro "
        "audit --json` printed elsewhere: how the two environments differ, and which claims that "
        "can touch",
    )
    parser.add_argument(
        "--format",
        choices=("cyclonedx",),
        help="print a bill of materials instead (CycloneDX 1.6, JSON); exits 0 or 4 all the same",
    )
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print paper's pin, bundle's pin and what is installed, for every package."""
    against, other = arguments.against, None
    if against is not None and compare.is_audit(against):
        if arguments.format:
            message = f"--format with --against {against}: a comparison is no bill of materials"
            raise BadInputError(message)
        other, against = compare.load(against), None
    quiet = bool(arguments.json or arguments.format)
    with console.bytes_bar(quiet=quiet) as progress:
        found = audit(against, progress)
    if other is not None:
        return _compare(found, other, as_json=arguments.json)
    if arguments.format:
        from repro.audit import sbom  # its library takes a while to import

        print(sbom.cyclonedx(found))
    elif arguments.json:
        print(options.as_json(found))
    else:
        console_audit.show(found)
    return EXIT_DRIFT if found.drifted else EXIT_DONE


def _compare(here: Audit, there: Audit, *, as_json: bool) -> int:
    """Print how two environments differ."""
    found = compare.compare(here, there, validate.load_manifests([]))
    if as_json:
        print(options.as_json(found))
    else:
        console_audit.show_differences(found)
    return EXIT_DRIFT if found else EXIT_DONE
