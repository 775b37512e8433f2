"""Manifests: one file, one table, figure or theorem. Data only.

`load` reports every mistake of a file at once, each with its path, what was found and
what was expected. What does not match the schema is told apart from what does, but makes
no sense (a claim on a cell that nobody printed).
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from repro import regular_file
from repro.claim_base import Published
from repro.claims import Claim
from repro.errors import BadInputError, Problem
from repro.frozen import Frozen, Slug
from repro.job_groups import Group
from repro.jobs import Setting, Tier
from repro.model_claims import CellClaim


class Paper(Frozen):
    """The version of the paper that the numbering follows."""

    arxiv: str
    version: Literal["v1", "v2", "v3"]


class Manifest(Frozen):
    """One table, figure or theorem: what was published, what to run, what is claimed."""

    schema_version: Literal[1]
    id: Slug
    """Equal to the file's name without `.json`."""
    title: str
    paper: Paper
    packages: dict[str, str]
    """Package that some claim depends on, to the reason."""
    published: tuple[Published, ...]
    settings: tuple[Setting, ...]
    jobs: tuple[Group, ...]
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]
    """A manifest that claims nothing is invalid: empty is never success."""

    def tiers(self) -> tuple[Tier, ...]:
        """Tiers that some job group has, cheapest first.

        A manifest whose job types are all unbuilt has tier full, with nothing to run.
        """
        named = {tier for group in self.jobs for tier in group.tiers} or {"full"}
        order: tuple[Tier, ...] = ("smoke", "subset", "full")
        return tuple(tier for tier in order if tier in named)

    def printed(self, published: str) -> Published:
        """A published value; the names that claims use were checked on loading."""
        return next(value for value in self.published if value.id == published)

    def text_of(self, published: str) -> str:
        """The printed string of a published value."""
        return self.printed(published).text

    def cell(self, name: str) -> CellClaim:
        """The cell claim of that name; the names that claims use were checked on loading."""
        cells = (claim for claim in self.claims if isinstance(claim, CellClaim))
        return next(claim for claim in cells if claim.id == name)


def load(path: Path) -> Manifest:
    """Read and check one manifest.

    Raises:
        BadInputError: with every problem of the file, if it cannot be used.
    """
    try:
        text = regular_file.content(path).decode()
    except OSError as error:
        message = f"cannot read the manifest {path}: {error.strerror}"
        raise BadInputError(message) from error
    except UnicodeDecodeError as error:
        message = f"the manifest {path} is not UTF-8 text (byte {error.start})"
        raise BadInputError(message) from error
    repeated, document = _parse(text)
    expected = "each key once"
    problems = [
        Problem(str(path), f"the key {key!r} twice in one object", expected) for key in repeated
    ]
    manifest = None
    try:
        manifest = Manifest.model_validate_json(text, strict=True)
    except ValidationError as error:
        found = error.errors()
        below = {each["loc"][:end] for each in found for end in range(len(each["loc"]))}
        problems += [  # a list is not too short where what it holds was refused
            _schema_problem(path, each, document)
            for each in found
            if not (each["type"] == "too_short" and each["loc"] in below)
        ]
    else:
        from repro.manifest_sense import problems_of  # it knows this module's classes

        problems += [
            Problem(f"{path}: $.{where}", *sides)
            for where, *sides in problems_of(manifest, path.stem)
        ]
    if problems or manifest is None:
        count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
        message = f"{path} is not a valid manifest: {count}. Nothing was run or written."
        raise BadInputError(message, problems)
    return manifest


def _parse(text: str) -> tuple[list[str], object]:
    """Keys that stand twice in one object, and the document; None where it is not JSON.

    JSON lets the last of two equal keys win; in a manifest that hides a change.
    """
    repeated: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            counted = Counter(key for key, _ in pairs)
            repeated.extend(key for key, times in counted.items() if times > 1)
        return found

    try:
        return repeated, json.loads(text, object_pairs_hook=check)
    except (ValueError, RecursionError):  # no JSON, a number of 4,301 digits, too deep
        return repeated, None  # the schema check says so, with the line


def _schema_problem(path: Path, error: ErrorDetails, document: object) -> Problem:
    """One pydantic error in our words."""
    kind, value = error["type"], error.get("input")
    last = error["loc"][-1] if error["loc"] else ""
    if kind == "missing":
        found, expected = "nothing", f"the field {last!r}"
    elif kind == "extra_forbidden":
        found, expected = f"the unknown field {last!r}", "only fields of the schema"
    elif kind == "json_invalid":
        found, expected = error["msg"], "a JSON document"
    else:
        found = f"{_shown(value)} ({type(value).__name__})"
        expected = error["msg"].removeprefix("Input should be ")
        if kind in _EXPECTED:
            expected = _EXPECTED[kind].format(**error.get("ctx", {}))
    return Problem(f"{path}: {_where(error['loc'], document)}", found, expected)


def _shown(value: object) -> str:
    """The start of a value, as it stands in the file."""
    try:
        return json.dumps(value, default=str, ensure_ascii=False)[:80]
    except ValueError:
        return "a number of more than 4,300 digits"


_EXPECTED = {
    "string_type": 'text in quotes, e.g. "0.03"',
    "string_pattern_mismatch": "text that matches {pattern}",
}
"""Where pydantic's own words say too little."""


def _where(steps: Sequence[int | str], document: object) -> str:
    """The path of an error inside the document, without pydantic's names of union members."""
    where = "$"
    for step in steps:
        if isinstance(document, dict) and step not in document and step == document.get("kind"):
            continue
        where += f"[{step}]" if isinstance(step, int) else f".{step}"
        try:
            document = document[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            document = None
    return where
