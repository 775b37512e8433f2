"""`repro report`: one page for a reader, or a letter to the authors, from records alone."""

import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from repro import paths
from repro.cli import options, verify
from repro.errors import BadInputError, save_errors
from repro.fileio import provide_temporary_folder, write_text

if TYPE_CHECKING:
    from repro.report.report_data import ReportData

NAME = "report.html"


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro report`."""
    options.add_results(
        parser,
        "folders that `repro run` wrote, or packets of `repro export`, zipped or not; several are "
        "shown together (default: results)",
    )
    parser.add_argument(
        "--out",
        type=paths.folder_argument,
        metavar="DIR",
        help=f"folder to write {NAME} into; it is made, and an older {NAME} is replaced. A letter "
        "is printed, unless it has one",
    )
    parser.add_argument(
        "--letter",
        nargs="*",
        metavar="ID",
        help="instead, a letter to the paper's authors as Markdown: of each claim that is "
        "contradicted, or is so if a condition holds (or of those that are named, e.g. S7 or "
        "prose:S7), the sentence, our recomputation, what would change our mind, the commands",
    )
    parser.epilog = (
        f"Judges the runs as `repro verify` does and writes DIR/{NAME}: every claim of every\n"
        "manifest by section of the paper, the printed tables beside the measured ones, figures,\n"
        "flips, drift, and what was not run and what that takes. One file, no network.\n"
        "\n"
        "  repro report --out page                    what lies in results\n"
        "  repro report results evidence --out page   with the committed evidence\n"
        "  repro report evidence --letter             the letter\n"
        "\n"
        "Exits 0 if every claim of the runs is reproduced, 1 if any is contradicted or invalid,\n"
        "else 3; 2 for a folder without runs. A run that cannot be judged is named on the page,\n"
        "beside the others.\n"
        "\n"
        "  repro report packet.zip --out page"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page or the letter, and say where it is."""
    out: Path | None = arguments.out
    if arguments.letter is not None:
        return _letter(arguments, out)
    if out is None:
        raise BadInputError("--out: found nothing, expected a folder to write the page into")
    options.check_installed("repro report", ("jinja2", "matplotlib"))
    from repro.report import page

    given = arguments.results or [Path("results")]
    with verify.gathered(given) as seen:
        _write(out, NAME, page.render(seen))
    return _end(seen)


def _letter(arguments: argparse.Namespace, out: Path | None) -> int:
    """Where nothing was run the letter is about what the paper's own numbers and code decide."""
    from repro.report import collect, letter

    given = arguments.results or [each for each in [Path("results")] if each.exists()]
    with verify.gathered(given) if given else nullcontext(collect.gather([])) as seen:
        text = letter.render(seen, arguments.letter)
    if out is None:
        print(text, end="")
    else:
        _write(out, letter.NAME, text)
    return _end(seen)


def _write(out: Path, name: str, text: str) -> None:
    with save_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        provide_temporary_folder(out)
        write_text(out / name, text)
    options.print_line(str(out / name))


def _end(seen: "ReportData") -> int:
    verdicts = [each.verdict for each in seen.runs] or list(seen.page)
    return verify.report_unread(seen.unread, verify.exit_code(verdicts))
