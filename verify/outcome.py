"""What a rule says about one claim: an outcome, both sides and a reason."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from repro.schema.finding import Outcome

if TYPE_CHECKING:  # printed claims are decided without numpy
    from verify.records.loaded import Loaded


@dataclass(frozen=True)
class Decided:
    """The parts of a finding that a rule fills in."""

    outcome: Outcome
    published: str
    measured: str
    margin: str
    reason: str
    working: tuple[str, ...] = ()
    """Lines of working, where the reason cannot hold all that is needed to follow it by hand."""


@dataclass(frozen=True)
class Judged:
    """What measurements say about a claim."""

    decided: Decided
    direction: str
    """Where they point; shown where they do not decide."""
    loaded: "list[Loaded]"
    """The records that it rests on."""
    p_contradicted: float = 1.0
    """For Holm's adjustment over the numbers of a table; 1 where there is no such test."""


NOT_BUILT = "no job for it"
