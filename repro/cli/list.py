"""`repro list`: the manifests, and where each stands in a results folder."""

import argparse
from pathlib import Path

from repro import coverage, paths
from repro.cli import options, verify
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, BadInputError
from repro.report import console_lists
from repro.report.console_lists import RunProgress
from repro.schema import catalog, validate
from repro.schema import slots as job_slots
from repro.schema.manifest import Manifest
from repro.store import run_file
from repro.store.store import Store


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro list`."""
    options.add_out(parser)
    options.add_json(parser)
    parser.add_argument(
        "--coverage",
        action="store_true",
        help="instead: which of the paper's sentences a claim is about, and why the others are set "
        "aside",
    )
    parser.add_argument(
        "--text",
        metavar="FILE",
        type=paths.path_argument,
        help="with --coverage: take the sentences again from a copy of the paper, and hold the "
        "ledger and each quote against them",
    )
    parser.epilog = (
        "Counts the jobs that have a record, at the highest tier that was run; `repro verify`\n"
        "judges them. Exits 0, or 3 if a run file is damaged; with --coverage 3 if a sentence is\n"
        "neither bound nor set aside, is bound to a claim that no manifest has, or is not the\n"
        "copy's, or if a printed claim has no sentence, or a quote is not printed.\n"
        "\n"
        "example:\n"
        "  repro list --coverage"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each manifest, or the coverage."""
    if arguments.text is not None and not arguments.coverage:
        message = f"--text {arguments.text}: found no --coverage, expected the two together"
        raise BadInputError(message)
    manifests = validate.load_manifests([])
    if arguments.coverage:
        return _show_coverage(manifests, arguments.text, as_json=arguments.json)
    store = Store(arguments.out)
    unread: list[BadInputError] = []
    rows = [(each, _run_progress(each, store, unread)) for each in manifests]
    if arguments.json:
        print(options.as_json([console_lists.manifest_as_data(*row) for row in rows]))
    else:
        console_lists.show_manifests(rows)
    return verify.report_unread(unread)


def _show_coverage(manifests: list[Manifest], text: Path | None, *, as_json: bool) -> int:
    """Hold the ledger of sentences against the manifests, and a copy against both."""
    ledger = coverage.load()
    found = coverage.tally(ledger, manifests)
    copy = None if text is None else coverage.read_paper(text)
    compared = None if copy is None else coverage.compare(ledger, copy, manifests)
    if as_json:
        print(options.as_json(console_lists.coverage_as_data(found, compared)))
    else:
        console_lists.show_coverage(found)
        if compared:
            console_lists.show_coverage_comparison(compared)
    whole = found.complete and (compared is None or compared.agrees)
    return EXIT_DONE if whole else EXIT_INCOMPLETE


def _run_progress(
    manifest: Manifest, store: Store, unread: list[BadInputError]
) -> RunProgress | None:
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
            slots = job_slots.slots(manifest, tier, catalog.checkpoints())
            no_twin = found.missing.keys() & {each.id for each in slots if each.job is None}
            missing = len(found.missing) - len(no_twin)
            imported = len({found.jobs.get(slot) for slot in found.imported})
            return RunProgress(tier, done, len(keys), missing, len(no_twin), imported)
    return None
