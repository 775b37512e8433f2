"""`repro report`: a page for a reader, tables and figures for a paper, a letter to the authors."""

import argparse
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repro import paths
from repro.cli import options, verify
from repro.errors import BadInputError, save_errors
from repro.fileio import provide_temporary_folder, write_text

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from repro.report.page import View
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
        "and tables are printed, unless they have one",
    )
    parser.add_argument(
        "--figures",
        type=paths.folder_argument,
        metavar="DIR",
        help="write every figure of the page into DIR, as SVG and as PDF; with or without a page",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--latex",
        action="store_true",
        help="instead, the paper's tables as LaTeX (booktabs, longtable): printed, measured, "
        "interval, margin, outcome",
    )
    instead.add_argument("--csv", action="store_true", help="instead, the same tables as CSV")
    instead.add_argument(
        "--letter",
        nargs="*",
        metavar="ID",
        help="instead, a letter to the paper's authors as Markdown: of each claim that is "
        "contradicted, or is so if a condition holds (or of those that are named, e.g. S7 or "
        "prose:S7), the sentence, our recomputation, what would change our mind, the commands",
    )
    parser.epilog = (
        f"Judges the runs as `repro verify` does and writes DIR/{NAME}: every claim of every\n"
        "manifest in the order of the paper, tables and figures as printed and as measured, and\n"
        "what is open and what that takes: in money too, if REPRO_GPU_HOUR says what an hour of\n"
        "one H200 costs. One file, no network.\n"
        "\n"
        "Exits 0 if every claim of the runs is reproduced, 1 if any is contradicted or invalid,\n"
        "else 3; 2 for a folder without runs. A run that cannot be judged is named on the page,\n"
        "beside the others.\n"
        "\n"
        "examples:\n"
        "  repro report --out page                    what lies in results\n"
        "  repro report results evidence --out page   with the committed evidence\n"
        "  repro report evidence --figures figures    every figure, as SVG and PDF\n"
        "  repro report evidence --latex              tables for a report of yours\n"
        "  repro report evidence --letter             the letter\n"
        "  repro report packet.zip --out page         a packet, where it stands alone"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write what was asked for, and say where it is."""
    out: Path | None = arguments.out
    if arguments.letter is not None:
        return _letter(arguments, out)
    if arguments.latex or arguments.csv:
        return _tables(arguments, out)
    if out is None and arguments.figures is None:
        raise BadInputError("--out: found nothing, expected a folder to write the page into")
    options.check_installed("repro report", ("jinja2", "matplotlib"))
    from repro.planning import cost
    from repro.report import page

    given = arguments.results or [Path("results")]
    price = cost.hourly_price()
    with verify.gathered(given) as found:
        seen = replace(found, price=price.amount if price else None)
        for folder in filter(None, (out, arguments.figures)):
            _make(folder)  # before matplotlib asks for a place
        shown = page.view(seen)
        if out is not None:
            _write(out, NAME, page.as_html(shown, out))
        if arguments.figures is not None:
            _figures(shown, arguments.figures)
    return _end(seen)


def _gathered(arguments: argparse.Namespace) -> "AbstractContextManager[ReportData]":
    """Where nothing was run it is about what the paper's own numbers and code decide."""
    from repro.report import collect

    given = arguments.results or [each for each in [Path("results")] if each.exists()]
    return verify.gathered(given) if given else nullcontext(collect.gather([]))


def _letter(arguments: argparse.Namespace, out: Path | None) -> int:
    from repro.report import letter

    with _gathered(arguments) as seen:
        _print_or_write(out, letter.NAME, letter.render(seen, arguments.letter))
    return _end(seen)


def _tables(arguments: argparse.Namespace, out: Path | None) -> int:
    from repro.report import rows
    from repro.report.view import cards, tables

    with _gathered(arguments) as seen:
        found = tables.tables(seen, cards.cards(seen, rows.rows(seen)))
        if arguments.latex:
            _print_or_write(out, tables.LATEX, tables.as_latex(found, seen.paper.name))
        else:
            _print_or_write(out, tables.CSV, tables.as_csv(found))
    return _end(seen)


def _figures(shown: "View", folder: Path) -> None:
    from repro.report import figures

    with save_errors(folder):
        for name, drawn in shown.drawn():
            for place in figures.write(drawn, folder, name):
                options.print_line(str(place))


def _print_or_write(out: Path | None, name: str, text: str) -> None:
    if out is None:
        print(text, end="")
    else:
        _write(out, name, text)


def _make(folder: Path) -> None:
    with save_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        provide_temporary_folder(folder)


def _write(out: Path, name: str, text: str) -> None:
    _make(out)
    with save_errors(out):
        write_text(out / name, text)
    options.print_line(str(out / name))


def _end(seen: "ReportData") -> int:
    verdicts = [each.verdict for each in seen.runs] or list(seen.page)
    return verify.report_unread(seen.unread, verify.exit_code(verdicts))
