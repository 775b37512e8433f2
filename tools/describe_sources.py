"""Writes `catalog/source-facts.json`: what the manifests' facts find in the pinned archives.

    python -m tools.describe_sources > facts.json && mv facts.json catalog/source-facts.json
    python -m tools.describe_sources | cmp - catalog/source-facts.json     # to check it

The archives are fetched into the cache, by the digests of the lock files, and read from there,
whatever is installed. No text of a file is written but what the facts are about.
"""

import hashlib
import json
import sys
from typing import Any

from repro import bundle, digests, package_sources, pins
from repro.commands import options
from repro.errors import ReproError
from repro.fact_claims import AnyLookup
from repro.package_sources import SourceMissingError
from runner import fetch
from verify import source_lookups

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
    return package_sources.lookups(options.load_manifests([]))


def _answer(lookup: AnyLookup) -> dict[str, Any]:
    source = lookup.source
    pin = (pins.read(pins.LOCK) | pins.read(pins.KERNELS))[source.package]
    try:
        content, archive = package_sources.archived(pin, source.file, bundle.cache())
    except SourceMissingError:
        fetch.fetch_source(pin)
        content, archive = package_sources.archived(pin, source.file, bundle.cache())
    text = content.decode(errors="replace")
    found = source_lookups.find(lookup, text)
    if hashlib.sha256(content).hexdigest() != source.sha256 or found.line != lookup.line:
        message = f"{source.package} {source.version}, {source.file}:{lookup.line} is misquoted"
        raise MisquotedError(message)
    line = text.split("\n")[found.line - 1].strip()
    return {
        "source": source.model_dump(mode="json"),
        "archive": digests.of_file(archive),
        "asks": package_sources.asks(lookup),
        "line": found.line,
        "line_sha256": hashlib.sha256(line.encode()).hexdigest(),
        "value": found.value,
    }


if __name__ == "__main__":
    sys.stdout.write(describe())
