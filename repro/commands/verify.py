"""`repro verify`: judge again, from manifests and records alone."""

import argparse
from pathlib import Path

from repro import bundle, catalog, manifest, pins, report, run_file
from repro.commands import options
from repro.errors import EXIT_CONTRADICTED, EXIT_DONE, EXIT_INCOMPLETE, BadInputError
from repro.finding import Verdict
from repro.jobs import Tier
from repro.manifest import Manifest
from repro.run_file import RunFile
from repro.store import Store


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro verify`."""
    parser.add_argument(
        "results",
        metavar="RESULTS",
        nargs="*",
        type=Path,
        help="folders that `repro run` wrote (default: results)",
    )
    parser.add_argument(
        "--paper",
        action="store_true",
        help="the paper against itself: only what follows from printed values",
    )
    options.add_json(parser)
    parser.epilog = (
        "Nothing stored with a record is believed that can be recomputed from its arrays.\n"
        "Exits 0 if every claim is reproduced, 1 if any is contradicted or invalid, else 3."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict of every run found."""
    verdicts = _paper() if arguments.paper else _runs(arguments.results or [Path("results")])
    if arguments.json:
        print(options.as_json(verdicts))
    else:
        report.show_verdicts(verdicts)
    return exit_code(verdicts)


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


def _paper() -> list[Verdict]:
    """Printed claims of every manifest of the bundle."""
    from verify.findings import paper_against_itself

    verdicts = [paper_against_itself(each) for each in options.load_manifests([])]
    return [each for each in verdicts if each.findings]


def _runs(folders: list[Path]) -> list[Verdict]:
    verdicts = []
    for folder in folders:
        found = sorted((folder / "runs").glob("*.json"))
        if not found:
            message = f"{folder} holds no runs; `repro run manifests/table1.json` makes one"
            raise BadInputError(message)
        for path in found:
            run = run_file.load(path)
            verdicts.append(judge_run(manifest_of(run), run.tier, Store(folder)))
    return verdicts


def manifest_of(run: RunFile) -> Manifest:
    """The bundle's manifest of a run's name, else the user's own file."""
    bundled = bundle.MANIFESTS / f"{run.manifest}.json"
    return manifest.load(bundled if bundled.is_file() else Path(run.file))
