"""`repro verify`: judge again, from manifests and records alone."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from repro import (
    bundle,
    catalog,
    export_packet,
    given_paths,
    manifest,
    pins,
    report,
    results_entries,
    run_file,
    signature,
)
from repro.commands import options
from repro.errors import EXIT_CONTRADICTED, EXIT_DONE, EXIT_INCOMPLETE, BadInputError
from repro.finding import Verdict
from repro.jobs import Tier
from repro.manifest import Manifest
from repro.run_file import RunFile
from repro.store import Store
from repro.text import visible, visible_lines


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro verify`."""
    options.add_results(
        parser,
        "folders that `repro run` wrote, a folder of such folders, or packets of "
        "`repro export`, zipped or not (default: results)",
    )
    parser.add_argument(
        "--paper",
        action="store_true",
        help="the paper against itself: only what follows from printed values",
    )
    parser.add_argument(
        "--signature",
        type=given_paths.path,
        metavar="ALLOWED_SIGNERS",
        help="first hold each packet to its signature by one of these signers (ssh-keygen's file, "
        "one a line: name@example.org ssh-ed25519 AAAA…), and every file in it to what was signed",
    )
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="every claim of every manifest as Markdown, one line each, after a summary",
    )
    options.add_json(parser)
    parser.epilog = (
        "Nothing stored with a record is believed that can be recomputed from its arrays.\n"
        "A packet is judged by its records as any results folder is, once every file in it is as\n"
        "its SHA256SUMS lists it. A digest without a signature finds slips and not forgery.\n"
        "Exits 0 if every claim is reproduced, 1 if any is contradicted or invalid, else 3: a\n"
        "run that cannot be judged, its file damaged or its manifest gone, costs no other."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict of every run found."""
    if arguments.paper and arguments.signature:
        message = "--signature with --paper: the paper against itself reads no packet"
        raise BadInputError(message)
    folders = folders_of(arguments.results or [Path("results")])
    if arguments.markdown:
        return _markdown(folders, arguments)
    if arguments.paper and arguments.results:
        found = " ".join(map(str, arguments.results))
        message = f"--paper: found {found} beside it; it judges every manifest and reads no results"
        raise BadInputError(message)
    unread: list[BadInputError] = []
    verdicts = _paper() if arguments.paper else _runs(folders, arguments.signature, unread)
    if unread and not verdicts:
        raise BadInputError("\n".join(dict.fromkeys(map(str, unread))))
    if arguments.json:
        print(options.as_json(verdicts))
    else:
        report.show_verdicts(verdicts)
    return left_out(unread, exit_code(verdicts))


def left_out(unread: Iterable[BadInputError | str], code: int = EXIT_DONE) -> int:
    """Once what is sound was shown: say what could not be read, each once; the exit code then."""
    told = list(dict.fromkeys(map(str, unread)))
    for each in told:
        print(visible_lines(f"repro: left out: {each}"), file=sys.stderr)
    return EXIT_INCOMPLETE if told and code != EXIT_CONTRADICTED else code


def exit_code(verdicts: list[Verdict]) -> int:
    """0 every claim reproduced, 1 any contradicted or invalid, 3 the rest."""
    outcomes = {finding.outcome for verdict in verdicts for finding in verdict.findings}
    if outcomes & {"contradicted", "invalid"}:
        return EXIT_CONTRADICTED
    return EXIT_DONE if outcomes == {"reproduced"} else EXIT_INCOMPLETE


def judge_run(claimed: Manifest, tier: Tier, store: Store) -> Verdict:
    """Judge one manifest at one tier from what lies in a results folder."""
    from verify.evidence import Evidence  # `repro` meets `verify` only here
    from verify.judge import judge

    evidence = Evidence(
        claimed,
        run_file.load(run_file.path_of(store.root, claimed.id, tier)),
        store,
        catalog.checkpoints(),
        catalog.asked(),
    )
    return judge(claimed, evidence, pins.versions())


def folders_of(given: Sequence[Path]) -> list[Path]:
    """Results folders and packets; a folder of results folders (`evidence`) stands for them."""
    found: list[Path] = []
    for folder in given:
        whole = (folder / "runs").is_dir() or export_packet.is_packet(folder)
        below = [] if whole else export_packet.inside(folder)
        found += below or [folder]
    return found


def _markdown(folders: Sequence[Path], arguments: argparse.Namespace) -> int:
    """Print every claim of every manifest, those that nobody ran among them."""
    from repro import claim_table
    from repro.commands import report_records  # it needs this module

    if arguments.paper or arguments.signature or arguments.json:
        message = "--markdown: found --paper, --signature or --json beside it, expected it alone"
        raise BadInputError(message)
    options.check_folders(folders)
    results = [one for each in folders for one in check_runs(each, each)]
    seen = report_records.gather(results)
    if seen.unread and not seen.runs:
        raise BadInputError("\n".join(seen.unread))
    print(claim_table.render(seen), end="")
    return left_out(seen.unread, exit_code([each.verdict for each in seen.runs]))


def _paper() -> list[Verdict]:
    """Printed claims of every manifest of the bundle."""
    from verify.findings import paper_against_itself

    verdicts = [paper_against_itself(each) for each in options.load_manifests([])]
    return [each for each in verdicts if each.findings]


def _runs(
    given: Sequence[Path], signers: Path | None, unread: list[BadInputError]
) -> list[Verdict]:
    """Verdicts of every run in results folders and packets, signatures first.

    Why a run cannot be judged is added to `unread`.
    """
    verdicts = []
    options.check_folders([each for each in given if not each.exists()])
    for path in given:
        with export_packet.opened(path) as folder:
            if signers:
                signer = signature.check(folder, signers, path)
                options.say(f"{path}: signed by {signer}; every file is as signed", error=True)
            elif export_packet.is_packet(folder):
                export_packet.hold(folder, path)
                slips = (
                    "every file is as its SHA256SUMS lists it, which finds slips and not forgery"
                )
                options.say(f"{path}: {slips}; no signature was checked (--signature)", error=True)
            verdicts += _judged(folder, path, unread)
    return verdicts


def _judged(opened: Path, given: Path, unread: list[BadInputError]) -> list[Verdict]:
    """Verdicts of every run in a results folder, or in those of a packet."""
    verdicts = []
    for folder in check_runs(opened, given):
        orphans = results_entries.orphans(Store(folder))
        runs, damaged = run_file.read(folder)
        unread += damaged
        for run in runs.values():
            try:
                verdict = judge_run(manifest_of(run), run.tier, Store(folder))
                verdicts.append(verdict.also(orphans))
            except BadInputError as error:  # of its own manifest
                unread.append(error)
    return verdicts


def check_runs(opened: Path, given: Path) -> list[Path]:
    """The results folders of a packet or folder, if any of them has a run.

    Raises:
        BadInputError: if none has: an empty folder would hide a slip.
    """
    found = export_packet.results_of(opened)
    if not any(map(run_file.paths, found)):
        beside = [note for each in found for note in results_entries.orphans(Store(each))]
        beside = beside or ["`repro run manifests/table1.json` makes one"]
        message = f"{given} holds no runs; {'; '.join(beside)}"
        raise BadInputError(message)
    return found


def manifest_of(run: RunFile) -> Manifest:
    """The bundle's manifest of a run's name, else the one packed with it or the user's file.

    Raises:
        BadInputError: if there is none, or it cannot be used.
    """
    bundled = bundle.MANIFESTS / f"{run.manifest}.json"
    if bundled.is_file():
        return manifest.load(bundled)
    if not os.path.isfile(run.file):  # noqa: PTH113  # a path may be too long to be one
        message = (
            f"runs/{run.manifest}.{run.tier}.json: found no file {visible(run.file)}, the manifest "
            "of that run, in the results folder, in one above it or here; start this command in "
            "the folder where `repro run` was started, or put the file there"
        )
        raise BadInputError(message)
    return manifest.load(Path(run.file))
