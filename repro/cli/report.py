"""`repro report`: one page for a reader, from manifests and records alone."""

import argparse
from pathlib import Path

from repro import paths
from repro.cli import options, verify
from repro.errors import BadInputError, save_errors
from repro.fileio import provide_temporary_folder, write_text
from repro.store import run_file

NAME = "report.html"


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro report`."""
    options.add_results(
        parser,
        "folders that `repro run` wrote; several are shown together (default: results)",
    )
    parser.add_argument(
        "--out",
        type=paths.folder_argument,
        required=True,
        metavar="DIR",
        help=f"folder to write {NAME} into; it is made, and an older {NAME} is replaced",
    )
    parser.epilog = (
        f"Judges the runs as `repro verify` does and writes DIR/{NAME}: every claim of every\n"
        "manifest by section of the paper, the printed tables beside the measured ones, figures,\n"
        "flips, drift, and what was not run and what that takes. One file, no network.\n"
        "\n"
        "  repro report --out page                    what lies in results\n"
        "  repro report results evidence --out page   with the committed evidence\n"
        "\n"
        "Exits 0 if every claim of the runs is reproduced, 1 if any is contradicted or invalid,\n"
        "else 3; 2 for a folder without runs. A run that cannot be judged is named on the page,\n"
        "beside the others."
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    options.check_installed("repro report", ("jinja2", "matplotlib"))
    from repro.report import collect, page

    folders = arguments.results or [Path("results")]
    out: Path = arguments.out
    options.check_folders(folders)
    seen = collect.gather(
        [each for one in run_file.folders_of(folders) for each in verify.check_runs(one, one)]
    )
    if seen.unread and not seen.runs:
        raise BadInputError("\n".join(seen.unread))
    with save_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        provide_temporary_folder(out)
        write_text(out / NAME, page.render(seen, out))
    options.print_line(str(out / NAME))
    return verify.report_unread(seen.unread, verify.exit_code([each.verdict for each in seen.runs]))
