"""How others decide whether a number agrees, applied to a printed divergence.

Each rule takes the same simulated settings and says for each replicate whether the printed
value agrees; otherwise it differs, for none of them leaves anything open. A rule that knows
no repetition gets the first setting, as a reviewer who runs once would.

Shapes: runs (replicates, settings) and printed (replicates,), percentage points; right
(replicates, settings, 2, 4), right answers of reference and candidate by number of shots.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.machines import QUESTIONS, SHOTS, Counts
from benchmarks.machines import Points as Floats

Agrees = NDArray[np.bool_]

_ROUNDING = 1e-9
"""Of binary fractions: 0.3 and 0.1 + 0.2 are the same printed number."""


def one_percent(runs: Floats, printed: Floats, _right: Counts) -> Agrees:
    """Within 1 % of the printed value.

    Source: MLPerf Inference, closed division: quality at least 99 % of the reference's
    (mlcommons/inference_policies, inference_rules.adoc). Adapted: both sides, since a
    divergence has no better side, and the reference is the printed value.
    """
    return np.asarray(np.abs(runs[:, 0] - printed) <= 0.01 * np.abs(printed) + _ROUNDING)


def one_point(runs: Floats, printed: Floats, _right: Counts) -> Agrees:
    """Within one percentage point: the same 1 %, read as points of accuracy."""
    return np.asarray(np.abs(runs[:, 0] - printed) <= 1 + _ROUNDING)


def same_digits(runs: Floats, printed: Floats, _right: Counts) -> Agrees:
    """Equal once rounded like the printed value, to 2 decimals.

    Source: none needed; what "the number comes out again" means word for word.
    """
    return np.asarray(np.abs(np.round(runs[:, 0], 2) - printed) < 0.005)  # noqa: PLR2004


def unpaired_z(runs: Floats, printed: Floats, right: Counts) -> Agrees:
    """No significant difference by lm-eval's standard errors, |z| <= 1.96.

    Source: EleutherAI/lm-evaluation-harness, scripts/model_comparator.py, on acc_stderr =
    sqrt(a (1 - a) / (Q - 1)) of an accuracy a. Adapted: the standard error of a difference
    of two accuracies is that of independent arms, that of a divergence the mean over shots
    of independent differences; the paper printed no accuracies, so its standard error is
    taken as large as ours.
    """
    accuracy = right[:, 0] / QUESTIONS
    variances = 100**2 * accuracy * (1 - accuracy) / (QUESTIONS - 1)
    variance = variances.sum(axis=(1, 2)) / SHOTS**2
    return np.asarray(np.abs(runs[:, 0] - printed) <= 1.96 * np.sqrt(2 * variance))


def reference_t(runs: Floats, printed: Floats, _right: Counts) -> Agrees:
    """Not significantly worse than the reference, one-sided t-test at 0.05.

    Source: mlcommons/logging, rcp_checker.py, `_find_p_value`: scipy's
    ttest_ind_from_stats with equal variances, halved. Adapted: all our settings are the
    submission; the reference is one run, the printed value, so that the pooled variance is
    ours; worse is a larger divergence (there: fewer epochs); no fastest and slowest run is
    dropped.
    """
    from scipy.special import stdtr

    count = runs.shape[1]
    error = runs.std(axis=1, ddof=1) * np.sqrt(1 + 1 / count)
    above = runs.mean(axis=1) - printed
    with np.errstate(divide="ignore", invalid="ignore"):  # equal settings: t is ±inf or NaN
        p = 1 - stdtr(count - 1, above / error)
    return np.asarray(~(p <= 0.05))  # noqa: PLR2004


def prediction_interval(runs: Floats, printed: Floats, _right: Counts) -> Agrees:
    """Within the 95 % prediction interval of three runs.

    Source: CORE-Bench (Siegel et al. 2024, arXiv 2409.11363), siegelz/core-bench,
    benchmark/evaluations.py: m ± t s sqrt(1 + 1/3), t the 0.975 quantile at 2 degrees of
    freedom. Adapted: the runs are our first three settings, not three runs of the authors'
    code, and the value that is checked is the printed one, not an agent's.
    """
    from scipy.special import stdtrit

    three = runs[:, :3]
    reach = stdtrit(2, 0.975) * three.std(axis=1, ddof=1) * np.sqrt(1 + 1 / 3)
    return np.asarray(np.abs(three.mean(axis=1) - printed) <= reach + _ROUNDING)


RULES: dict[str, Callable[[Floats, Floats, Counts], Agrees]] = {
    "1 % of it": one_percent,
    "1 point": one_point,
    "same digits": same_digits,
    "lm-eval z": unpaired_z,
    "MLPerf RCP t": reference_t,
    "CORE-Bench": prediction_interval,
}
"""Column of the table to rule."""
