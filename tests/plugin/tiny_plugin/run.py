"""How a halving job runs: float64 `over_bound`, (terms,), the gap to 1 over the last term."""

import numpy as np

from runner.measurement import Inputs, Measurement, Progress
from tiny_plugin.kind import HalvingJob


def run(job: HalvingJob, inputs: Inputs, progress: Progress) -> Measurement:  # noqa: ARG001
    """Sum up."""
    terms = 0.5 ** np.arange(1, job.terms + 1)
    ratios = (1 - np.cumsum(terms)) / terms
    progress(job.terms, job.terms)
    return Measurement(
        values={"worst": float(ratios.max())}, arrays={"over_bound": ratios}, path={}
    )
