"""`repro compare`: two records, runs or packets, side by side."""

import argparse
from contextlib import ExitStack

from repro import paths
from repro.cli import options, verify
from repro.packet import build
from repro.store import run_file

_MOST = 10
"""Flips that are printed."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro compare`."""
    for name, what in (("A", "the reference"), ("B", "what is held against it")):
        parser.add_argument(
            name.lower(),
            metavar=name,
            type=paths.path_argument,
            help=f"{what}: results, a packet, zipped or not, one run (RESULTS/runs/NAME.json), or "
            "one record (RESULTS/jobs/KEY, of whose key the first digits are enough)",
        )
    parser.add_argument(
        "--all", action="store_true", help=f"print every flip (default: the {_MOST} most telling)"
    )
    options.add_json(parser)
    parser.epilog = (
        "What differs in how they were made, and question by question in what they answered:\n"
        "flips each way, McNemar's exact test, how far log-likelihoods moved. Questions are named\n"
        "by subject and row. Only records that pass the checks of `repro verify` are compared.\n"
        "Exits 0 compared, 2 if they were asked other questions, 3 if a part could not be read.\n"
        "\n"
        "example:\n"
        "  repro compare results/jobs/3fa1 results/jobs/77c0   one model in two dtypes\n"
        "  repro compare results packet.zip                    yours and the author's"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print how two sides differ."""
    from repro.report import compared_view, comparison, console

    most = None if arguments.all or arguments.json else _MOST
    shown = arguments.a, arguments.b
    with ExitStack() as stack:
        one_record = [each.parent.name in ("jobs", "runs") for each in shown]
        folders = [
            each if part else stack.enter_context(build.opened(each))
            for each, part in zip(shown, one_record, strict=True)
        ]
        for folder, name in zip(folders, shown, strict=True):
            if run_file.is_packet(folder):
                build.check_digests(folder, name)
            if run_file.stands_alone(folder):
                stack.enter_context(paths.using(folder))
        found = comparison.compare((folders[0], folders[1]), shown, most)
    if arguments.json:
        print(options.as_json(found))
    else:
        console.show_sections(compared_view.sections(found, most))
    return verify.report_unread(found.left_out)
