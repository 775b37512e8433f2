"""Claims of a paper that never was, each with what is true of it; the words of a reader, no rule.

Nothing here knows how anything is decided: what a planted claim comes to follows from how its
numbers were made, which stands beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from repro import fileio
from repro.schema.manifest import Manifest

Truth = Literal[
    "true", "false", "open", "by-one-reading", "under-a-condition", "unquoted", "sampled", "broken"
]
"""open: what is printed or was run leaves both possible; sampled: a theorem that no sample proves;
broken: the claim or its record is no fair check; the others are as they say."""

PLACE = {"section": "5"}


@dataclass(frozen=True)
class Planted:
    """One claim, and what a verifier may say of it."""

    id: str
    truth: Truth
    outcomes: tuple[str, ...]
    """Fair outcomes: one where nothing is random."""
    listed: str | None = None
    """List of inconclusive findings that it belongs to."""
    result: str | None = None
    """Of a step or a check of our own."""
    standing: str = "printed"


@dataclass
class Paper:
    """Published values and claims, as they are written down one after another."""

    published: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)

    def value(self, text: str, unit: str = "percent") -> str:
        """Print one number; its name."""
        name = f"v{len(self.published)}"
        printed = {"id": name, "text": text, "unit": unit, "place": PLACE}
        self.published.append(printed)
        return name

    def values(self, *texts: str, unit: str = "percent") -> list[str]:
        """Print some numbers."""
        return [self.value(text, unit) for text in texts]

    def claim(
        self,
        name: str,
        kind: str,
        truth: Truth,
        outcome: str | tuple[str, ...],
        *,
        listed: str | None = None,
        result: str | None = None,
        **fields: Any,
    ) -> str:
        """Claim something; its name. Other fields are those of the manifest's claim."""
        common = {"statement": name, "place": PLACE, "depends_on": [], "quote": "a sentence"}
        said = {"id": name, "kind": kind, **common, **fields}
        self.claims.append(said)
        outcomes = (outcome,) if isinstance(outcome, str) else outcome
        standing = fields.get("standing", "printed")
        self.planted.append(Planted(name, truth, outcomes, listed, result, standing))
        return name

    def manifest(self, name: str, **parts: Any) -> Manifest:
        """All of it as a manifest, with settings and jobs."""
        data = {
            "schema_version": 1,
            "id": name,
            "title": "A paper that never was",
            "paper": {"arxiv": "0000.00000", "version": "v1"},
            "packages": {},
            "published": self.published,
            "settings": [],
            "jobs": [],
            "claims": self.claims,
            **parts,
        }
        return Manifest.model_validate_json(fileio.canonical(data))

    def expected(self) -> Mapping[str, Planted]:
        """What is true of each claim, by its name."""
        return {each.id: each for each in self.planted}
