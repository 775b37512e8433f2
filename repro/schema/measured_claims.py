"""Claims about language models, on printed values or on evaluations.

On printed values (`basis: printed`) the names in `of`, `left` and `right` are published
values, and the claim is decided with no run at all. Measured, they are cell claims.
"""

from typing import Annotated, Literal

from pydantic import Field

from repro.decimals import DecimalText, Unsigned
from repro.schema.base import Frozen, Slug, Slugs
from repro.schema.claim_base import NO_MARGIN, Basis, ClaimBase, Margin, Text
from repro.schema.kinds.proof import TheoremName
from repro.schema.tuned_claims import (
    ImprovementRatio,
    MeanScore,
    MeasuredDifference,
    Parameters,
    Score,
    TunedDivergence,
)

# -----------------------------------------------------------------------------
# Claims about what fine-tuning costs a GPU: speed, memory, and whether it fits.
#
# A run is a checkpoint trained by one arm of a throughput group under one of its memory caps. Its
# speed is tokens a second; its memory is the peak over the run over the tokens of a mini-batch, in
# two counts: what torch's allocator gave out, and what it held. A gain is relative to a reference
# arm under the same cap: speed over speed, or the percentage by which memory a token is less.
#
# Speed and memory belong to a class of hardware: elsewhere a claim is inconclusive, and its
# direction is shown.
#
# Reference: paper v2, section 5.1 and Appendix D. Differs: the paper gives only GB of
# memory for the GPU, and neither which count of memory it took nor how much the GPU left free; both
# counts and every cap have to agree.

Statistic = Literal["speed", "memory"]


class ThroughputGain(Frozen):
    """Gain of every other arm of a throughput group over a reference arm."""

    kind: Literal["throughput"]
    group: Slug
    """The throughput group."""
    checkpoints: Slugs
    """Sizes that are taken together."""
    reference: Slug
    """Arm, `<method>.<precision>`."""
    against: Slug | None
    """Checkpoint whose reference arm all are held against; null for each against its own."""
    statistic: Statistic
    """Tokens a second relative to the reference, or percent less memory a token."""
    form: Literal["mean", "largest"]
    """Over arms and sizes that fit, each once."""
    hardware: Text
    """The GPU that it was printed of, as its driver names it."""


class MemoryFit(Frozen):
    """Whether one row trains within the memory."""

    group: Slug
    """The throughput group."""
    checkpoint: Slug
    arm: Slug
    """`<method>.<precision>`."""
    fits: bool
    """As claimed."""


class FitsClaim(ClaimBase):
    """Some ways of fine-tuning fit into the memory of a GPU, and others do not."""

    kind: Literal["fits"]
    published: Slug | None
    runs: Annotated[tuple[MemoryFit, ...], Field(min_length=1)]
    hardware: Text
    """The GPU that it was said of, as its driver names it."""


class GrowingClaim(ClaimBase):
    """The mean gains in speed and in memory both rise from each size to the next."""

    kind: Literal["growing"]
    published: Slug | None
    group: Slug
    """The throughput group."""
    checkpoints: Annotated[tuple[Slug, ...], Field(min_length=2)]
    """Smallest first."""
    reference: Slug
    """Arm, `<method>.<precision>`, of each size itself."""
    hardware: Text
    """The GPU that it was said of, as its driver names it."""


# -----------------------------------------------------------------------------
# Claims about language models, on printed values or on evaluations.

JobType = Text
"""What some claim needs and there is no job for: not built yet, or the authors' own runs."""


class Divergence(Frozen):
    """Mean over shots of |accuracy(reference) - accuracy(dtype)|, in percentage points."""

    kind: Literal["divergence"]
    checkpoint: Slug
    dtype: Literal["float16", "bfloat16"]
    reference: Literal["float32"]
    input_rounding: Unsigned
    """What rounding of the accuracies before they were subtracted can add or take away:
    lm-eval 0.4.2 prints fractions to four digits, so two of them move a difference by 0.01."""


class UnbuiltMeasure(Frozen):
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
        Divergence
        | TunedDivergence
        | Score
        | MeanScore
        | MeasuredDifference
        | Parameters
        | ImprovementRatio
        | ThroughputGain
        | UnbuiltMeasure,
        Field(discriminator="kind"),
    ]
    margin: Margin = NO_MARGIN
    """Computed when the manifest is loaded (`repro.schema.margins`): left out of the file."""


class MeanClaim(ClaimBase):
    """A printed mean is the mean of some numbers."""

    kind: Literal["mean"]
    basis: Basis
    published: Slug
    of: Slugs
    margin: Margin | None = None
    """Of a measured mean, computed as that of a cell; a printed one is exact."""


class CountClaim(ClaimBase):
    """A printed count is the number of values above a threshold."""

    kind: Literal["count"]
    basis: Basis
    published: Slug
    of: Slugs
    above: DecimalText
    """Threshold, exclusive."""


class OrderingClaim(ClaimBase):
    """The mean of some values stands in a relation to the mean of others."""

    kind: Literal["ordering"]
    basis: Basis
    left: Slugs
    right: Slugs
    relation: Literal["at-most", "smaller-beyond-null", "within-spread"]
    """`smaller-beyond-null`: the mean of the left side is smaller by more than two settings of one
    dtype differ, which only measurements tell; `within-spread`: |mean(left) - mean(right)| <
    max(right) - min(right), the two means differ by less than the members of the right side among
    themselves."""


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


# -----------------------------------------------------------------------------
# Claims about state-space layers and exact algebra, decided from arrays of records.


class Control(Frozen):
    """A case built to break the claim: the check has to catch it, or it checks nothing."""

    array: str
    """Array (or case) in the same records; every entry must violate the claim."""
    what: str


class BoundClaim(ClaimBase):
    """Every entry of some arrays stays within a limit."""

    kind: Literal["bound"]
    jobs: Slugs
    arrays: Annotated[tuple[str, ...], Field(min_length=1)]
    relation: Literal["at-most", "below", "above"]
    """Below and above are strict."""
    limit: DecimalText
    controls: tuple[Control, ...]


class TrendClaim(ClaimBase):
    """The fitted exponential rate of every curve in some arrays is negative."""

    kind: Literal["trend"]
    jobs: Slugs
    arrays: Annotated[tuple[str, ...], Field(min_length=1)]
    """Envelopes, shape (layers, times); a rate is the slope of log(envelope) over time."""
    times: str
    """Array with the time of each column, in steps."""
    floors: tuple[str, ...]
    """For each of `arrays`, what rounding alone can make of it: points below are left out."""
    direction: Literal["decreasing"]
    controls: tuple[Control, ...]


class IdentityClaim(ClaimBase):
    """A matrix of integers is the product of two others, exactly, row by row."""

    kind: Literal["identity"]
    jobs: Slugs
    case: str
    """Arrays `<case>/up` and `<case>/down`, and `<case>/change_sha256`, the digest of every row of
    what has to be up x down (`repro.fileio.digests_of_rows`)."""
    controls: tuple[Control, ...]
    """Cases that must not factorise so."""


# -----------------------------------------------------------------------------
# Claims that a machine-checked proof decides.


class ProofClaim(ClaimBase):
    """A printed sentence follows from theorems that Coq has checked, or is refuted by them.

    What each theorem says is pinned by the job: its sources, and the digest of its statement.
    """

    kind: Literal["proof"]
    jobs: Annotated[Slugs, Field(max_length=1)]
    theorems: Annotated[tuple[TheoremName, ...], Field(min_length=1)]
    """The one that says most first."""
    relation: Literal["proves", "refutes"]
    """`refutes`: the first is an exact counterexample of the printed words."""
    differs: Text
    """What is proved, where that is not what is printed."""
    left_open: Text | None = None
    """Of a proof, the stronger reading of the sentence that it does not reach, and why; of a
    counterexample, the reading that it does not touch. With either, the sentence stays open."""
