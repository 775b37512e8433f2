"""`repro export`: a packet to archive or sign, or a table for a spreadsheet."""

import argparse
import os
import shlex
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repro import fileio, paths
from repro.cli import options, report, verify
from repro.errors import BadInputError, save_errors
from repro.fileio import provide_temporary_folder
from repro.packet import build
from repro.packet.build import SIGNATURE
from repro.store import run_file
from repro.store.run_file import SUMS
from repro.text import plural

if TYPE_CHECKING:  # what a packet is made of is imported when one is made
    from repro.packet.layout import Contents, NotPacked

_SIGN = "ssh-keygen -Y sign -f KEY -n repro"
_AS_TEXT = (
    "numbers have a decimal point: a spreadsheet that writes a comma takes 1.10 for a date unless "
    "it imports every column as text"
)
_NEEDED = {
    "csv": (),
    "ro-crate": ("rocrate", "cyclonedx", "jinja2", "matplotlib"),
}
"""Packages beyond the light install, by format."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro export`."""
    options.add_results(
        parser,
        "folders that `repro run` wrote; several go into one packet (default: results)",
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=tuple(_NEEDED),
        help="ro-crate: manifests, runs, records, lock, bill of materials, page and findings as a "
        "Process Run Crate; csv: the findings, one row each, for a spreadsheet",
    )
    parser.add_argument(
        "--out",
        type=paths.new_path_argument,
        required=True,
        metavar="PATH",
        help="what to write: for ro-crate a folder, or a zip file if it ends in .zip; for csv a "
        "file. Nothing that is there is overwritten",
    )
    parser.epilog = (
        "  repro export results evidence --format ro-crate --out packet\n"
        "  repro export --format csv --out findings.csv\n"
        "\n"
        "A packet's SHA256SUMS lists every file in it. Sign it with an SSH key, and whoever has a\n"
        "file of allowed signers checks the signature, every file, and the verdicts:\n"
        "\n"
        f"  {_SIGN} packet/SHA256SUMS\n"
        '  echo "name@example.org $(cat KEY.pub)" > allowed\n'
        "  repro verify packet --signature allowed\n"
        "\n"
        "`repro verify packet` judges its records without looking at a signature. Weights that a\n"
        "job made are left out, and named with digest and size. Equal results give equal bytes.\n"
        "\n"
        "Numbers of the table are as printed, with a decimal point and nothing around them, so\n"
        "that programs read them. A spreadsheet set to a language that writes a comma takes 1.10\n"
        "for a date: import every column as text (Excel: Data, From Text/CSV, do not detect data\n"
        "types; LibreOffice: column type Text, or language English).\n"
        "\n"
        "Exits 0 if it was written, whatever the verdicts; 3 if a damaged run file was left out,\n"
        "or a package or space is missing.\n"
        "\n"
        "example:\n"
        "  repro export --format ro-crate --out packet.zip"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write a packet or a table, whole or not at all, and say what it is."""
    options.check_installed("repro export", _NEEDED[arguments.format])
    given = arguments.results or [Path("results")]
    out: Path = arguments.out
    options.check_folders(given)
    packets = run_file.folders_of(list(dict.fromkeys(given)))
    folders = [each for packet in packets for each in run_file.results_of(packet)]
    _check_free(out, as_folder=arguments.format == "ro-crate" and out.suffix != ".zip")
    write = _write_table if arguments.format == "csv" else _write_packet
    alone = [each for each in packets if run_file.stands_alone(each)]
    with paths.using(alone[0]) if len(packets) == 1 and alone else nullcontext():
        return verify.report_unread(write(folders, out))


def _check_free(out: Path, *, as_folder: bool) -> None:
    """Refuse to write over anything; an empty folder or file may be there already."""
    if not out.exists():
        return
    if out.is_dir() != as_folder:
        found, expected = ("folder", "file") if out.is_dir() else ("file", "folder")
        raise BadInputError(f"--out {out}: found a {found}, expected the name of a {expected}")
    # A pipe or a device has no size, and is written to.
    if any(out.iterdir()) if as_folder else out.stat().st_size:
        message = f"--out {out}: found something there, expected a free name or nothing in it"
        raise BadInputError(message)


def _write_table(folders: list[Path], out: Path) -> Sequence[str]:
    """Write the table; what was left out of it."""
    from repro.report import collect, csv

    seen = collect.gather(folders)
    fileio.write_text(out, csv.as_csv(seen))
    if not out.is_relative_to("/dev"):  # its name is no part of a table on our own output
        options.print_line(str(out))
    options.print_line(_AS_TEXT, error=True)
    return seen.unread


def _write_packet(folders: list[Path], out: Path) -> Sequence[str]:
    """Make a packet beside its place and give it its name once it is whole; what was left out."""
    from repro.packet import crate, layout

    place = Path(os.path.realpath(out))  # a link is followed
    with save_errors(out):
        place.parent.mkdir(parents=True, exist_ok=True)
        provide_temporary_folder(place.parent)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=place.parent) as draft:
            packet, zipped = Path(draft) / "packet", Path(draft) / "packet.zip"
            left = layout.stage(folders, packet)
            with paths.using(packet):  # it says what it will say to others
                contents, about = _add_results(packet, left, len(folders))
            crate.write(contents, packet, about)
            build.write_sums(packet)
            count = len(list(build.files_of(packet)))
            if out.suffix == ".zip":
                build.write_zip(packet, zipped)
                fileio.rename_draft(zipped, out)
            else:
                packet.replace(place)
    _say(contents, left, count, out)
    return list(map(str, left.unread))


def _add_results(packet: Path, left: "NotPacked", folders: int) -> tuple["Contents", str]:
    """Judge what was copied, and add the page, the table and the bills of materials.

    Returns:
        What is packed, and what the claims are of.
    """
    from repro.packet import layout
    from repro.report import collect, csv, page

    contents = layout.read(packet, left)
    seen = collect.gather([packet / run_file.place_of(number + 1) for number in range(folders)])
    seen = replace(
        seen, runs=tuple(replace(each, folder=Path(each.folder).name) for each in seen.runs)
    )
    made = {
        report.NAME: page.render(seen, packet).encode(),
        csv.NAME: csv.as_csv(seen).encode(),
        **layout.boms(contents),
    }
    for name, content in made.items():
        (packet / name).write_bytes(content)
    return contents, seen.paper.name


def _say(contents: "Contents", left: "NotPacked", files: int, out: Path) -> None:
    """What was packed, what was not, and how to sign it."""
    options.print_line(f"{out}: {plural(len(contents.records), 'record')}, {plural(files, 'file')}")
    for place in contents.damaged:
        options.print_line(f"packed as it is, and not to be trusted: {place}")
    weights = {one.sha256 for each in contents.records for one in each.left_out}
    if weights:
        where = "ro-crate-metadata.json has digest and size of each"
        options.print_line(
            f"left out: {plural(len(weights), 'file')} of weights that jobs made; {where}"
        )
    if left.unnamed:
        options.print_line(f"left out: {plural(left.unnamed, 'record')} that no run names")
    shown, sums = shlex.quote(str(out)), shlex.quote(str(out / SUMS))
    if out.suffix == ".zip":
        options.print_line(f"to sign it:  unzip -p {shown} {SUMS} > {SUMS}")
        options.print_line(f"             {_SIGN} {SUMS} && zip {shown} {SIGNATURE}")
    else:
        options.print_line(f"to sign it:  {_SIGN} {sums}")
    options.print_line(f"to check it: repro verify {shown} --signature ALLOWED_SIGNERS")
