"""What a halving job says: 1/2 + 1/4 + … is 1 less than what the last term is."""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from repro.schema.kinds.base import KindOfJob


class HalvingJob(KindOfJob):
    """Partial sums of 1/2^n."""

    ENTRY: ClassVar = "tiny_plugin.run"
    LIBRARIES: ClassVar = ("numpy",)

    kind: Literal["halving"]
    terms: PositiveInt
