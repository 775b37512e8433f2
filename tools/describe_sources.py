"""Writes `catalog/source-facts.json`: what the manifests' facts find in the pinned archives.

    python -m tools.describe_sources > facts.json && mv facts.json catalog/source-facts.json
    python -m tools.describe_sources | cmp - catalog/source-facts.json     # to check it

The archives are fetched into the cache, by the digests of the lock files, and read from there,
whatever is installed. No text of a file is written but what the facts are about.
"""

import hashlib
import json
from typing import Any

from repro import fileio, paths
from repro.environment import pins
from repro.errors import ReproError
from repro.inputs import sources
from repro.inputs.sources import SourceMissingError
from repro.schema import validate
from repro.schema.page_claims import AnyLookup
from runner import inputs_fetch
from tools import command
from verify.rules import fact

COMMAND = "python -m tools.describe_sources"


class MisquotedError(ReproError):
    """A fact is not where its manifest says."""


def describe() -> str:
    """The whole file, as JSON.

    Raises:
        CannotRunError: if an archive is neither in the cache nor can be fetched.
        MisquotedError: if a file or a line is not what a manifest says.
    """
    answers = {json.dumps(each): each for each in map(_answer, _lookups())}
    data = {"written_by": COMMAND, "answers": [answers[name] for name in sorted(answers)]}
    return json.dumps(data, indent=1) + "\n"


def _lookups() -> list[AnyLookup]:
    return sources.lookups(validate.load_manifests([]))


def _answer(lookup: AnyLookup) -> dict[str, Any]:
    source = lookup.source
    pin = (pins.read(pins.LOCK) | pins.read(pins.KERNELS))[source.package]
    try:
        content, archive = sources.read_from_archive(pin, source.file, paths.cache())
    except SourceMissingError:
        inputs_fetch.fetch_source(pin)
        content, archive = sources.read_from_archive(pin, source.file, paths.cache())
    text = content.decode(errors="replace")
    found = fact.look_up(lookup, text)
    if hashlib.sha256(content).hexdigest() != source.sha256 or found.line != lookup.line:
        message = f"{source.package} {source.version}, {source.file}:{lookup.line} is misquoted"
        raise MisquotedError(message)
    line = text.split("\n")[found.line - 1].strip()
    return {
        "source": source.model_dump(mode="json"),
        "archive": fileio.digest_of_file(archive),
        "asks": sources.question_of(lookup),
        "line": found.line,
        "line_sha256": hashlib.sha256(line.encode()).hexdigest(),
        "value": found.value,
    }


def main() -> None:
    """Print the facts."""
    command.parser(__doc__).parse_args()
    print(describe(), end="")


if __name__ == "__main__":
    command.run(main)
