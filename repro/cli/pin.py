"""`repro pin`: commits and digests of the hub's checkpoints, into the catalog."""

import argparse
from dataclasses import asdict

from repro.cli import options
from repro.errors import EXIT_DONE
from repro.inputs import hub
from repro.inputs.hub import PinnedCheckpoint
from repro.text import plural


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro pin`."""
    parser.add_argument(
        "--checkpoints",
        metavar="NAME",
        nargs="*",
        help="pin these checkpoints of catalog/checkpoints.json, e.g. --checkpoints NAME "
        "(default: every one that the model hub has)",
    )
    options.add_json(parser)
    parser.epilog = (
        "Asks the model hub ($HF_ENDPOINT) which commit each revision is and which SHA-256 each\n"
        "file has that loading reads, and writes both into catalog/checkpoints.json; later runs\n"
        "are held to them. Nothing is executed and no weights are fetched. A digest that is there\n"
        "already is never replaced: another one at the hub is an error, and nothing is written.\n"
        "Where a repository has only a pickle, its digest is pinned; safetensors then count as\n"
        "the checkpoint if the pickle lies beside them and they are what `repro convert` makes of\n"
        "it. Exits 0, 2 if a file changed, 3 if the hub does not answer.\n"
        "\n"
        "example:\n"
        "  repro pin --json"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what was pinned."""
    found = hub.pin(arguments.checkpoints or [])
    if arguments.json:
        print(options.as_json([asdict(each) for each in found]))
    else:
        for each in found:
            _show_pinned(each)
    return EXIT_DONE


def _show_pinned(pinned: PinnedCheckpoint) -> None:
    known = len(pinned.files) - len(pinned.added)
    options.print_line(
        f"{pinned.name}: {pinned.repository} at {pinned.revision} is {pinned.commit}"
    )
    options.print_line(f"    {plural(len(pinned.added), 'file')} pinned now, {known} before")
    for file, sha in pinned.files.items():
        options.print_line(f"    sha256 {sha}  {file}")
    if pinned.note:
        options.print_line(f"    {pinned.note}")
