"""`paper.json`: what a bundle is about. A paper, a preprint, a model card: whatever has claims.

It makes a folder a bundle, and it is the only place where the paper's name stands: whatever is
shown takes it from here.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from repro import paths
from repro.errors import BadInputError
from repro.schema import reading
from repro.schema.base import Frozen, Slug
from repro.schema.claim_base import Text
from repro.schema.reading import Wrong

PaperId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", max_length=80)
]
"""An arXiv id, a DOI, or any name without blanks, e.g. of a model card."""

_ARXIV = re.compile(r"\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7}")
"""Reference: https://info.arxiv.org/help/arxiv_identifier.html."""


class PaperVersion(Frozen):
    """The version of the paper that a manifest is about, and that its numbering follows."""

    id: PaperId
    """As `paper.json` has it."""
    version: Slug
    """One of those that `paper.json` lists."""

    @model_validator(mode="before")
    @classmethod
    def _older_name(cls, data: object) -> object:
        """Manifests in older packets say `arxiv`."""
        if isinstance(data, dict) and "arxiv" in data and "id" not in data:
            return {"id" if name == "arxiv" else name: one for name, one in data.items()}
        return data

    @property
    def name(self) -> str:
        """As it is called in a sentence, where no title is known."""
        return name_of(self.id)


class Paper(Frozen):
    """What a bundle is about."""

    schema_version: Literal[1]
    id: PaperId
    """The same in all of its versions; manifests name it."""
    versions: Annotated[tuple[Slug, ...], Field(min_length=1)]
    """What may be claimed of, oldest first: `v1`, `v2`, or whatever the paper calls them."""
    title: Text
    authors: Annotated[tuple[Text, ...], Field(min_length=1)]
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = None
    """Where a reader finds it."""
    cite: Text | None = None
    """How it is cited, in one line."""
    start: Slug | None = None
    """The manifest to begin with: hints name it, and `repro doctor` measures by it."""
    sections: tuple[Slug, ...] = ()
    """`abstract`, numbers and letters of the sections that `catalog/sentences.json` accounts for,
    each with its subsections; all that have a heading if none is named."""

    @property
    def name(self) -> str:
        """As it is called in a sentence."""
        return name_of(self.id, self.title)


def load(path: Path | None = None) -> Paper | None:
    """What a bundle is about, by default the one at hand; None where there is no `paper.json`.

    Raises:
        BadInputError: with every problem of the file, if it cannot be used.
    """
    path = path or paths.bundle().paper
    if not path.is_file():
        return None
    advice = "It says what the bundle is about; docs/researcher.md shows one."
    return reading.load(path, "description of a paper", Paper, advice, _senseless)


def _senseless(paper: Paper) -> Iterator[Wrong]:
    for name in dict.fromkeys(paper.versions):
        if (times := paper.versions.count(name)) > 1:
            yield "versions", f"{name!r} {times} times", "each once"


def name_of(paper_id: str, title: str = "") -> str:
    """What a paper is called in a sentence; by its title only where it is known."""
    return f"arXiv {paper_id}" if _ARXIV.fullmatch(paper_id) else title or paper_id


def start() -> str:
    """The name of the manifest that hints begin with; `MANIFEST` where there is none."""
    known = sorted(each.stem for each in paths.bundle().manifests.glob("*.json"))
    with contextlib.suppress(BadInputError):  # whoever reads it says so
        about = load()
        if about and about.start in known:
            return str(about.start)
    return known[0] if known else "MANIFEST"


def sections() -> tuple[str, ...]:
    """What is accounted for of the bundle's paper; empty where that is all of it."""
    about = load()
    return about.sections if about else ()


def names(about: Iterable[PaperVersion]) -> str:
    """What some manifests are about, as it is called in a sentence."""
    own = load()
    return ", ".join(
        dict.fromkeys(own.name if own and own.id == each.id else each.name for each in about)
    )
