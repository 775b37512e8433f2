"""`repro new`: a bundle of another paper, with a worked example of each kind of claim."""

import argparse
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from repro import paths
from repro.cli import options
from repro.errors import EXIT_DONE, BadInputError, Problem, save_errors
from repro.fileio import make_folder, sync_tree, unused_path
from repro.schema import paper

_TEMPLATE = Path(__file__).parent / "new_bundle"
_ASKED = {
    "id": "arXiv id, DOI, or a name without blanks",
    "title": "title",
    "author": "authors, with a semicolon between two",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro new`."""
    parser.add_argument(
        "folder", metavar="DIR", type=paths.folder_argument, help="folder to make, or an empty one"
    )
    parser.add_argument("--id", help="of the paper: arXiv id, DOI, or any name without blanks")
    parser.add_argument("--title", help="of the paper")
    parser.add_argument(
        "--author", metavar="NAME", action="append", help="one of its authors; may be given often"
    )
    parser.add_argument(
        "--paper-version",
        metavar="NAME",
        default="v1",
        help="version that is checked, as the paper calls it (default: v1)",
    )
    parser.add_argument("--url", help="where a reader finds it")
    parser.epilog = (
        "Writes paper.json, manifests/first.json with one claim of each kind about made-up\n"
        "numbers, and a README that says what to do with them; `list`, `plan`, `verify` and `run`\n"
        "take the folder as it is. On a terminal, what is not given is asked for. Exits 0, or 2\n"
        "with nothing written.\n"
        "\n"
        "example:\n"
        '  repro new mine --id 2501.01234 --title "Our paper" --author "A. Author"'
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the folder, whole or not at all."""
    folder: Path = arguments.folder
    if folder.is_dir() and any(folder.iterdir()):
        raise BadInputError(f"{folder}: found files in it, expected an empty folder or a free name")
    about = _paper(arguments)
    with save_errors(folder, "DIR"):
        _write(folder, about)
    lines = (
        f"{folder}: paper.json, manifests/first.json, README.md",
        f"    cd {shlex.quote(str(folder))}",
        "    repro verify --paper            what printed numbers decide, with no run",
        "    repro run first --tier smoke    every step, on bundled twins",
    )
    for line in lines:
        options.print_line(line)
    return EXIT_DONE


def _paper(arguments: argparse.Namespace) -> dict[str, Any]:
    """What paper.json will hold.

    Raises:
        BadInputError: naming everything that is missing.
    """
    given = {name: getattr(arguments, name) for name in _ASKED}
    for name, what in _ASKED.items():
        if given[name] is None and sys.stdin and sys.stdin.isatty():
            given[name] = _asked(what)
            if name == "author":
                given[name] = [each.strip() for each in given[name].split(";") if each.strip()]
    missing = [Problem(f"--{name}", "nothing", _ASKED[name]) for name in _ASKED if not given[name]]
    if missing:
        raise BadInputError(f"{arguments.folder} needs to know the paper", missing)
    return {
        "schema_version": 1,
        "id": given["id"],
        "versions": [arguments.paper_version],
        "title": given["title"],
        "authors": given["author"],
        **({"url": arguments.url} if arguments.url else {}),
        "start": "first",
    }


def _asked(what: str) -> str:
    try:
        return input(f"{what}: ").strip()
    except EOFError:
        return ""


def _write(folder: Path, about: dict[str, Any]) -> None:
    """Write the files under another name first, and hold paper.json to its schema there."""
    make_folder(folder.absolute().parent)
    draft = unused_path(folder.absolute().parent, ".writing-")
    try:
        (draft / "manifests").mkdir(parents=True)
        _save(draft / paths.PAPER, about)
        try:
            paper.load(draft / paths.PAPER)
        except BadInputError as error:
            where = [
                Problem(each.where.replace(str(draft), str(folder)), each.found, each.expected)
                for each in error.problems
            ]
            raise BadInputError(f"{folder} would have no valid {paths.PAPER}", where) from error
        first = json.loads((_TEMPLATE / "first.json").read_bytes())
        first["paper"] = {"id": about["id"], "version": about["versions"][0]}
        _save(draft / "manifests" / "first.json", first)
        readme = (_TEMPLATE / "README.md").read_text(encoding="utf-8")
        (draft / "README.md").write_text(readme.replace("TITLE", about["title"]), encoding="utf-8")
        sync_tree(draft)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _save(path: Path, data: object) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
    path.write_text(text, encoding="utf-8")
