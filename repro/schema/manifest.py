"""Manifests: one file, one table, figure or theorem. Data only.

`load` reports every mistake of a file at once, each with its path, what was found and
what was expected. What does not match the schema is told apart from what does, but makes
no sense (a claim on a cell that nobody printed).
"""

import json
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, model_validator

from repro import paths
from repro.fileio import write_text
from repro.schema.base import Frozen, Slug
from repro.schema.claim_base import Published
from repro.schema.claims import Claim
from repro.schema.groups import EvaluationGroup, Group
from repro.schema.jobs import Tier
from repro.schema.kinds.standard_settings import Settings
from repro.schema.margins import Margins
from repro.schema.measured_claims import CellClaim
from repro.schema.paper import PaperVersion


class Manifest(Frozen):
    """One table, figure or theorem: what was published, what to run, what is claimed."""

    schema_version: Literal[1]
    id: Slug
    """Equal to the file's name without `.json`."""
    title: str
    paper: PaperVersion
    packages: dict[str, str]
    """Package that some claim depends on, to the reason."""
    published: tuple[Published, ...]
    settings: Settings
    """Or `standard`: batch-16, batch-8, batch-32, batch-4, ascending, other-kernel and
    other-kernel-8, seven over two kernels."""
    jobs: tuple[Group, ...]
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]
    """A manifest that claims nothing is invalid: empty is never success."""

    numbers_elsewhere: NonNegativeInt = 0
    """Measured numbers of the same family that other manifests print and this one does not: what
    is contradicted is so among all of them, each counted once."""

    @model_validator(mode="after")
    def _with_what_follows(self) -> "Manifest":
        object.__setattr__(self, "claims", Margins(self.published, self.claims).filled())
        object.__setattr__(self, "jobs", tuple(map(self._with_settings, self.jobs)))
        return self

    def _with_settings(self, group: Group) -> Group:
        """An evaluation whose tiers that name no setting run all of the manifest."""
        if not isinstance(group, EvaluationGroup):
            return group
        every = {"settings": tuple(each.id for each in self.settings)}
        tiers = {
            tier: spec if spec.settings else spec.model_copy(update=every)
            for tier, spec in group.tiers.items()
        }
        return group if tiers == group.tiers else group.model_copy(update={"tiers": tiers})

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


# -----------------------------------------------------------------------------
# The JSON schema of a manifest: `python -m repro.schema.manifest` writes it anew.

PATH = paths.CATALOG / "manifest.schema.json"


def schema_text() -> str:
    """The schema, with the docstring under each field as its description."""
    return json.dumps(Manifest.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(PATH, schema_text())
