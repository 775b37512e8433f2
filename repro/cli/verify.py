"""`repro verify`: judge again, from manifests and records alone."""

import argparse
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from repro import __version__, paths
from repro.cli import options
from repro.environment import pins
from repro.errors import (
    EXIT_CONTRADICTED,
    EXIT_DONE,
    EXIT_DRIFT,
    EXIT_INCOMPLETE,
    BadInputError,
)
from repro.packet import build
from repro.report import console_verdicts
from repro.schema import catalog, paper, validate
from repro.schema.finding import GOOD, Verdict
from repro.schema.jobs import Tier
from repro.schema.manifest import Manifest
from repro.store import contents, run_file
from repro.store.run_file import folders_of, manifest_of
from repro.store.store import Store
from repro.text import plural, visible_lines

if TYPE_CHECKING:
    from repro.report.report_data import ReportData
    from repro.report.words import Words
    from verify.evidence import Evidence
    from verify.stopping import Asked


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
        type=paths.path_argument,
        metavar="ALLOWED_SIGNERS",
        help="first hold each packet to its signature by one of these signers (ssh-keygen's file, "
        "one a line: name@example.org ssh-ed25519 AAAA…), and every file in it to what was signed",
    )
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="every claim of every manifest as Markdown, one line each, after a summary",
    )
    parser.add_argument(
        "--since",
        type=paths.path_argument,
        action="append",
        metavar="OLDER",
        help="which claims have another word than in these older results, this packet, or this "
        "file that `repro verify --json` of another version wrote; RESULTS may be such a file too; "
        "may be given several times",
    )
    options.add_json(parser)
    parser.epilog = (
        "Nothing stored with a record is believed that can be recomputed from its arrays.\n"
        "A packet is judged by its records as any results folder is, once every file in it is as\n"
        "its SHA256SUMS lists it. A digest without a signature finds slips and not forgery.\n"
        "Exits 0 if every claim is reproduced, consistent or proved, 1 if any is contradicted or\n"
        "invalid, else 3: a run that cannot be judged, its file damaged or its manifest gone,\n"
        "costs no other. With --since: 0 if no claim has another word, 4 if one\n"
        "has, 3 if something was left out.\n"
        "\n"
        "example:\n"
        "  repro verify results --since packet.zip --json"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict of every run found."""
    if arguments.paper and arguments.signature:
        message = "--signature with --paper: the paper against itself reads no packet"
        raise BadInputError(message)
    if arguments.since:
        return _since(arguments)
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
        console_verdicts.show_verdicts(verdicts)
    return report_unread(unread, exit_code(verdicts))


def report_unread(unread: Iterable[BadInputError | str], code: int = EXIT_DONE) -> int:
    """Once what is sound was shown: say what could not be read, each once; the exit code then."""
    told = list(dict.fromkeys(map(str, unread)))
    for each in told:
        print(visible_lines(f"repro: left out: {each}"), file=sys.stderr)
    return EXIT_INCOMPLETE if told and code != EXIT_CONTRADICTED else code


def exit_code(verdicts: list[Verdict]) -> int:
    """0 every claim reproduced, consistent or proved, 1 any contradicted or invalid, 3 the rest."""
    findings = [finding for verdict in verdicts for finding in verdict.findings]
    if any(finding.outcome in ("contradicted", "invalid") for finding in findings):
        return EXIT_CONTRADICTED
    outcomes = {finding.outcome for finding in findings if finding.counts}
    return EXIT_DONE if outcomes and outcomes <= set(GOOD) else EXIT_INCOMPLETE


def judge_run(claimed: Manifest, tier: Tier, store: Store) -> Verdict:
    """Judge one manifest at one tier from what lies in a results folder."""
    from verify.judge import judge  # `repro` meets `verify` only here

    return judge(claimed, _evidence(claimed, tier, store), pins.versions())


def look_at_run(claimed: Manifest, tier: Tier, store: Store, look: int) -> "dict[str, Asked]":
    """What each measured claim comes to at a look, from 1, whose records are there."""
    from verify.judge import ask_measured

    return ask_measured(claimed, _evidence(claimed, tier, store), look)


def guards_of_run(claimed: Manifest, tier: Tier, store: Store) -> frozenset[str]:
    """After the last look: slots without which nothing of the table is contradicted that would."""
    from verify.judge import wanted_guards

    return wanted_guards(claimed, _evidence(claimed, tier, store))


def _evidence(claimed: Manifest, tier: Tier, store: Store) -> "Evidence":
    from verify.evidence import Evidence

    run = run_file.load(run_file.path_of(store.root, claimed.id, tier))
    return Evidence(claimed, run, store, catalog.checkpoints(), catalog.question_sets())


def _markdown(folders: Sequence[Path], arguments: argparse.Namespace) -> int:
    """Print every claim of every manifest, those that nobody ran among them."""
    from repro.report import markdown

    if arguments.paper or arguments.signature or arguments.json:
        message = "--markdown: found --paper, --signature or --json beside it, expected it alone"
        raise BadInputError(message)
    with gathered(folders) as seen:
        print(markdown.render(seen), end="")
    return report_unread(seen.unread, exit_code([each.verdict for each in seen.runs]))


def _since(arguments: argparse.Namespace) -> int:
    """Print the claims whose word is another one than in older results."""
    from repro.report import words

    if arguments.paper or arguments.signature or arguments.markdown:
        message = "--since: found --paper, --signature or --markdown beside it, expected neither"
        raise BadInputError(message)
    unread: list[str] = []
    before = _words_of(arguments.since, unread)
    after = _words_of(arguments.results or [Path("results")], unread)
    if not before.keys() & after.keys():
        raise BadInputError("--since: found no claim that both have, expected two of one paper")
    found = words.changes(before, after)
    if arguments.json:
        print(options.as_json(found))
    else:
        for each in found.changed:
            options.print_line(f"{each.claim}: {each.before} → {each.after}")
        for name in (*found.only_before, *found.only_after):
            options.print_line(f"{name}: only {'before' if name in before else 'now'}")
        both = plural(len(before.keys() & after.keys()), "claim")
        options.print_line(f"{both} that both have, {len(found.changed)} with another word")
    return report_unread(unread, EXIT_DRIFT if found.changed else EXIT_DONE)


def _words_of(given: Sequence[Path], unread: list[str]) -> "Words":
    """The word of each claim: of results and packets, or as a file has kept them."""
    from repro.report import words

    options.check_folders([each for each in given if not each.exists()])
    kept = [each for each in given if _is_no_results(each)]
    if kept and len(given) > 1:
        message = f"{kept[0]}: found other results beside it, expected a file of words alone"
        raise BadInputError(message)
    if kept:
        return words.load(kept[0])
    with gathered(given) as seen:
        unread += seen.unread
        return words.words_of(seen)


def _is_no_results(path: Path) -> bool:
    return not (path.is_dir() or path.suffix == ".zip" or zipfile.is_zipfile(path))


@contextmanager
def gathered(given: Sequence[Path]) -> Iterator["ReportData"]:
    """What results folders and packets hold, every run judged, with the bundle that judges them.

    Raises:
        BadInputError: if one holds no run, or none that can be judged; if two packets stand alone:
            what one names in its catalog, the other's manifests may mean otherwise.
    """
    from repro.report import collect

    options.check_folders([each for each in given if not each.exists()])
    with ExitStack() as stack:
        found: dict[Path, str] = {}
        alone: list[Path] = []
        for path in folders_of(given):
            before = paths.bundle()
            folder = stack.enter_context(opened(path))
            alone += [path] * (paths.bundle() != before)
            if len(alone) > 1:
                message = f"{alone[0]} and {path}: found packets of two papers; show them apart"
                raise BadInputError(message)
            if run_file.is_packet(folder):
                build.check_digests(folder, path)
            found |= {
                each: str(path / each.relative_to(folder)) for each in check_runs(folder, path)
            }
        seen = collect.gather(list(found), found)
        if seen.unread and not seen.runs:
            raise BadInputError("\n".join(seen.unread))
        yield seen


def _paper() -> list[Verdict]:
    """Printed claims of every manifest of the bundle."""
    from verify.paper import paper_against_itself

    verdicts = [paper_against_itself(each) for each in validate.load_manifests([])]
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
        with opened(path) as folder:
            if signers:
                signer = build.check_signature(folder, signers, path)
                options.print_line(
                    f"{path}: signed by {signer}; every file is as signed", error=True
                )
            elif run_file.is_packet(folder):
                build.check_digests(folder, path)
                slips = (
                    "every file is as its SHA256SUMS lists it, which finds slips and not forgery"
                )
                options.print_line(
                    f"{path}: {slips}; no signature was checked (--signature)", error=True
                )
            verdicts += _verdicts_in(folder, path, unread)
    return verdicts


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """A results folder or a packet, unpacked; one that stands alone is the bundle at hand then."""
    with build.opened(path) as folder:
        if run_file.is_packet(folder) and not (folder / "catalog").is_dir():
            older = "packed by an older version, without a catalog: judged by that of"
            options.print_line(f"{path}: {older} {paths.bundle().root}", error=True)
        if not run_file.stands_alone(folder):
            yield folder
            return
        with paths.using(folder):
            _check_catalog(path)
            yield folder


def _check_catalog(packet: Path) -> None:
    """Refuse a packet whose catalog another version of this tool wrote, by that name."""
    try:
        catalog.checkpoints()
        catalog.question_sets()
    except BadInputError as error:
        message = (
            f"{packet}: its catalog was written by another version of this tool (this is "
            f"{__version__}); judge it with that one, or by the bundle of its paper, --bundle DIR"
        )
        raise BadInputError(message, error.problems) from error


def _verdicts_in(opened: Path, given: Path, unread: list[BadInputError]) -> list[Verdict]:
    """Verdicts of every run in a results folder, or in those of a packet."""
    verdicts = []
    for folder in check_runs(opened, given):
        orphans = contents.orphans(Store(folder))
        runs, damaged = run_file.read(folder)
        unread += damaged
        for run in runs.values():
            try:
                verdict = judge_run(manifest_of(run), run.tier, Store(folder))
                verdicts.append(verdict.with_notes(orphans))
            except BadInputError as error:  # of its own manifest
                unread.append(error)
    return verdicts


def check_runs(opened: Path, given: Path) -> list[Path]:
    """The results folders of a packet or folder, if any of them has a run.

    Raises:
        BadInputError: if none has: an empty folder would hide a slip.
    """
    found = run_file.results_of(opened)
    if not any(map(run_file.paths, found)):
        beside = [note for each in found for note in contents.orphans(Store(each))]
        beside = beside or [f"`repro run {paper.start()}` makes one"]
        message = f"{given} holds no runs; {'; '.join(beside)}"
        raise BadInputError(message)
    return found
