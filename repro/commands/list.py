"""`repro list`: the manifests, and where each stands in a results folder."""

import argparse

from repro import report_list, run_file
from repro.commands import options
from repro.commands.verify import judge_run
from repro.errors import EXIT_DONE
from repro.finding import Verdict
from repro.manifest import Manifest
from repro.store import Store


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro list`."""
    options.add_out(parser)
    options.add_json(parser)
    parser.epilog = "Where a manifest stands is judged anew from its records each time."


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each manifest."""
    store = Store(arguments.out)
    rows = [(each, _stands(each, store)) for each in options.load_manifests([])]
    if arguments.json:
        print(options.as_json([report_list.as_data(*row) for row in rows]))
    else:
        report_list.show(rows)
    return EXIT_DONE


def _stands(manifest: Manifest, store: Store) -> Verdict | None:
    """The verdict of the highest tier that was run, if any was."""
    for tier in reversed(manifest.tiers()):
        if run_file.path_of(store.root, manifest.id, tier).exists():
            return judge_run(manifest, tier, store)
    return None
