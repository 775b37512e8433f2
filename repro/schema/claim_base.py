"""What every claim has: where the paper says it, what is printed there, how it is read."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import StringConstraints

from repro.decimals import DecimalText, Unsigned
from repro.schema.base import Frozen, Slug

Basis = Literal["printed", "measured"]

Standing = Literal["printed", "step", "beside"]
"""What a claim is to the paper: a sentence or number of it; something that a printed sentence
needs; a check of our own, which has a result and is never a verdict on the paper."""

Text = Annotated[str, StringConstraints(min_length=1)]

SAID = r"\S"
Said = Annotated[str, StringConstraints(pattern=SAID)]
"""Text that is not blank."""


class Place(Frozen):
    """Where the paper says it."""

    section: str
    """Section or appendix, numbered as in the manifest's version of the paper."""
    table: str | None = None
    row: str | None = None
    column: str | None = None


class Published(Frozen):
    """A published value: the printed string, its unit and its place. Immutable."""

    id: Slug
    text: DecimalText
    """The digits as printed, thousands separators left out."""
    unit: str
    place: Place
    word: str | None = None
    """How it is printed where that is not in digits, e.g. "twice"."""


class Margin(Frozen):
    """How far from the printed value a measurement may lie before a sentence would change."""

    value: Unsigned
    """Half the distance to the nearest value at which a sentence of the paper would change."""
    origin: str
    """Which sentence, and which value; never measured noise."""


NO_MARGIN = Margin(value="0", origin="no sentence compares it with anything")
"""No measurement reproduces what no sentence rests on."""


class Answer(Frozen):
    """What an author answered to the finding of a claim. It is shown, and decides nothing."""

    who: Said
    when: dt.date
    """Day, `YYYY-MM-DD`."""
    where: Said
    """Where it can be read: an address, or a letter and who keeps it."""
    said: Said
    """The answer, or the part of it that is about this claim."""

    def __str__(self) -> str:
        """All of it as one sentence."""
        return f"answered by {self.who} on {self.when} ({self.where}): “{self.said}”"


class ClaimBase(Frozen):
    """What every claim says."""

    id: Slug
    """Unique in its manifest, e.g. `small.float16`."""
    statement: str
    """What is claimed, in our words."""
    place: Place
    standing: Standing = "printed"
    quote: Text | None = None
    """The printed sentence, or the part of it that is claimed, as printed: `contradicted` needs
    one. A claim that names a published value quotes that."""
    conditions: tuple[Text, ...] = ()
    """What has to hold for the check to bear on the sentence, e.g. "mamba-ssm is installed"; what
    fails under a condition is not contradicted outright."""
    depends_on: tuple[str, ...]
    """Packages that have to be at their exact pins for a measurement to decide this claim;
    the manifest's `packages` says why."""
    reading: Text | None = None
    """How the sentence is read, where it can be read in several ways; each is its own claim."""
    answers: tuple[Answer, ...] = ()
    """What the paper's authors answered to its finding; no rule reads it."""
