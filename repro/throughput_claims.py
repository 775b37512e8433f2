"""Claims about what fine-tuning costs a GPU: speed, memory, and whether it fits.

A run is a checkpoint trained by one arm of a throughput group under one of its memory caps. Its
speed is tokens a second; its memory is the peak over the run over the tokens of a mini-batch, in
two counts: what torch's allocator gave out, and what it held. A gain is relative to a reference arm
under the same cap: speed over speed, or the percentage by which memory a token is less.

Speed and memory belong to a class of hardware: elsewhere a claim is inconclusive, and its
direction is shown.

Reference: paper v2, section 5.1, Figure 2 and Appendix D. Differs: the paper gives only GB of
memory for the GPU, and neither which count of memory it took nor how much the GPU left free; both
counts and every cap have to agree.
"""

from typing import Annotated, Literal

from pydantic import Field

from repro.claim_base import ClaimBase, Text
from repro.frozen import Frozen, Slug

Statistic = Literal["speed", "memory"]


class Throughput(Frozen):
    """Gain of every other arm of a throughput group over a reference arm."""

    kind: Literal["throughput"]
    group: Slug
    """The throughput group."""
    checkpoints: Annotated[tuple[Slug, ...], Field(min_length=1)]
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


class Fit(Frozen):
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
    runs: Annotated[tuple[Fit, ...], Field(min_length=1)]
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
