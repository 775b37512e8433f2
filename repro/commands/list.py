"""`repro list`: the manifests, and where each stands in a results folder."""

import argparse
from pathlib import Path

from repro import catalog, expand, given_paths, report_list, run_file
from repro.commands import options, verify
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, BadInputError
from repro.manifest import Manifest
from repro.report_list import Standing
from repro.store import Store


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro list`."""
    options.add_out(parser)
    options.add_json(parser)
    parser.add_argument(
        "--coverage",
        action="store_true",
        help="instead: which of the paper's printed numbers a claim is about, and why the others "
        "are set aside",
    )
    parser.add_argument(
        "--text",
        metavar="FILE",
        type=given_paths.path,
        help="with --coverage: extract the numbers again from a copy of the paper and compare",
    )
    parser.epilog = (
        "Counts the jobs that have a record, at the highest tier that was run; `repro verify`\n"
        "judges them. Exits 0, or 3 if a run file is damaged; with --coverage 3 if a number is\n"
        "neither bound nor set aside, is bound to a claim that no manifest has, or is not the\n"
        "copy's."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each manifest, or the coverage."""
    if arguments.text is not None and not arguments.coverage:
        message = f"--text {arguments.text}: found no --coverage, expected the two together"
        raise BadInputError(message)
    manifests = options.load_manifests([])
    if arguments.coverage:
        return _cover(manifests, arguments.text, as_json=arguments.json)
    store = Store(arguments.out)
    unread: list[BadInputError] = []
    rows = [(each, _stands(each, store, unread)) for each in manifests]
    if arguments.json:
        print(options.as_json([report_list.as_data(*row) for row in rows]))
    else:
        report_list.show(rows)
    return verify.left_out(unread)


def _cover(manifests: list[Manifest], text: Path | None, *, as_json: bool) -> int:
    """Hold the ledger of printed numbers against the manifests, and a copy against the ledger."""
    from repro import coverage, numerals, report_coverage  # the plain list needs none of them

    ledger = coverage.load()
    found = coverage.tally(ledger, manifests)
    copy = None if text is None else numerals.from_file(text)
    differences = [] if copy is None else coverage.compare(ledger, copy)
    count = None if copy is None else len(copy)
    if as_json:
        print(options.as_json(report_coverage.as_data(found, count, differences)))
    else:
        report_coverage.show(found)
        if count is not None:
            report_coverage.show_comparison(count, differences)
    return EXIT_DONE if found.complete and not differences else EXIT_INCOMPLETE


def _stands(manifest: Manifest, store: Store, unread: list[BadInputError]) -> Standing | None:
    """What was run at the highest tier of which there is a run file; others go to `unread`."""
    for tier in reversed(manifest.tiers()):
        path = run_file.path_of(store.root, manifest.id, tier)
        if path.exists():
            try:
                found = run_file.load(path)
            except BadInputError as error:
                unread.append(error)
                continue
            keys = set(found.jobs.values())
            done = sum((store.folder(key) / "record.json").is_file() for key in keys)
            slots = expand.slots(manifest, tier, catalog.checkpoints())
            no_twin = found.missing.keys() & {each.id for each in slots if each.job is None}
            missing = len(found.missing) - len(no_twin)
            return Standing(tier, done, len(keys), missing, len(no_twin))
    return None
