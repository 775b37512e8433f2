"""`repro list`: the manifests, and where each stands in a results folder."""

import argparse

from repro import report_list, run_file
from repro.commands import options
from repro.errors import EXIT_DONE
from repro.manifest import Manifest
from repro.report_list import Standing
from repro.store import Store


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro list`."""
    options.add_out(parser)
    options.add_json(parser)
    parser.epilog = (
        "Counts the jobs that have a record, at the highest tier that was run; `repro verify`\n"
        "judges them."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each manifest."""
    store = Store(arguments.out)
    rows = [(each, _stands(each, store)) for each in options.load_manifests([])]
    if arguments.json:
        print(options.as_json([report_list.as_data(*row) for row in rows]))
    else:
        report_list.show(rows)
    return EXIT_DONE


def _stands(manifest: Manifest, store: Store) -> Standing | None:
    """What was run at the highest tier of which there is a run file."""
    for tier in reversed(manifest.tiers()):
        path = run_file.path_of(store.root, manifest.id, tier)
        if path.exists():
            found = run_file.load(path)
            keys = set(found.jobs.values())
            done = sum((store.folder(key) / "record.json").is_file() for key in keys)
            return Standing(tier, done, len(keys), len(found.missing))
    return None
