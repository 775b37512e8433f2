"""Claims about language models, on printed values or on evaluations.

On printed values (`basis: printed`) the names in `of`, `left` and `right` are published
values, and the claim is decided with no run at all. Measured, they are cell claims.
"""

from typing import Annotated, Literal

from pydantic import Field

from repro.claim_base import Basis, ClaimBase, Margin, Text
from repro.frozen import Frozen, Slug
from repro.printed import DecimalText, Unsigned
from repro.throughput_claims import Throughput
from repro.tuned_claims import ImprovementRatio, Score, TunedDivergence

JobType = Literal["fine-tuning", "throughput", "few-shot", "winogrande", "authors' runs"]
"""What some claim needs and this bundle has no job for: not built yet, or the authors' own runs."""

Names = Annotated[tuple[Slug, ...], Field(min_length=1)]


class Divergence(Frozen):
    """Mean over shots of |accuracy(reference) - accuracy(dtype)|, in percentage points."""

    kind: Literal["divergence"]
    checkpoint: Slug
    dtype: Literal["float16", "bfloat16"]
    reference: Literal["float32"]
    input_rounding: Unsigned
    """What rounding of the accuracies before they were subtracted can add or take away:
    lm-eval 0.4.2 prints fractions to four digits, so two of them move a difference by 0.01."""


class Unbuilt(Frozen):
    """Something whose job type is not built yet."""

    kind: Literal["unbuilt"]
    needs: JobType
    what: Text
    """What will be measured, and how."""


class CellClaim(ClaimBase):
    """A printed number equals what is measured."""

    kind: Literal["cell"]
    published: Slug
    measure: Annotated[
        Divergence | TunedDivergence | Score | ImprovementRatio | Throughput | Unbuilt,
        Field(discriminator="kind"),
    ]
    margin: Margin


class MeanClaim(ClaimBase):
    """A printed mean is the mean of some numbers."""

    kind: Literal["mean"]
    basis: Basis
    published: Slug
    of: Names
    margin: Margin | None = None
    """Of a measured mean; a printed one is exact."""


class CountClaim(ClaimBase):
    """A printed count is the number of values above a threshold."""

    kind: Literal["count"]
    basis: Basis
    published: Slug
    of: Names
    above: DecimalText
    """Threshold, exclusive."""


class OrderingClaim(ClaimBase):
    """The mean of some values stands in a relation to the mean of others."""

    kind: Literal["ordering"]
    basis: Basis
    left: Names
    right: Names
    relation: Literal["at-most", "within-spread"]
    """`within-spread`: |mean(left) - mean(right)| < max(right) - min(right), the two means
    differ by less than the members of the right side among themselves."""


class ConcordanceClaim(ClaimBase):
    """Two series of values follow the same trend."""

    kind: Literal["concordance"]
    basis: Basis
    left: Annotated[tuple[Slug, ...], Field(min_length=2)]
    right: Annotated[tuple[Slug, ...], Field(min_length=2)]
    by: Literal["steps", "ranks", "spikes"]
    """`steps`: each step from one value to the next goes the same way; `ranks`: so does each
    pair of values; `spikes`: the same places lie above `above`."""
    above: DecimalText | None = None
    """Threshold of `spikes`, exclusive."""
