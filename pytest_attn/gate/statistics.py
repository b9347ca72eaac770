"""Summaries of one process, spreads over processes, and bounds that hold for few of either.

scipy takes a second to import, which who only reads files need not wait for: it is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAD_TO_SD = 1.4826
"""Standard deviation of a normal sample over its median absolute deviation."""

SMALL_SAMPLE = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
"""What makes the scaled MAD of so few values unbiased (Croux and Rousseeuw 1992); n / (n - 0.8) beyond."""


def log_residuals(seconds: Sequence[float], control: Sequence[float], theta: float) -> Floats:
    """log(kernel) - theta log(control) of each round, `[rounds]`; theta 0 is the time itself, theta 1 the ratio."""
    residuals = np.log(np.asarray(seconds, dtype=np.float64))
    if theta:
        residuals -= theta * np.log(np.asarray(control, dtype=np.float64))
    return residuals


def robust_sd(values: Sequence[float] | Floats) -> float:
    """Standard deviation by the median absolute deviation, unbiased for few normal values; 0 for fewer than two."""
    count = len(values)
    if count < 2:
        return 0.0
    deviation = float(np.median(np.abs(np.asarray(values) - np.median(values))))
    return MAD_TO_SD * deviation * SMALL_SAMPLE.get(count, count / (count - 0.8))


SMALLEST_PAIRS = {2: 0.5, 3: 0.501, 4: 0.688, 5: 0.769, 6: 0.794, 7: 0.865, 8: 0.893, 9: 0.917}
"""What makes the square of the median difference of all pairs of so few normal values unbiased for their variance."""

PAIRS_DEGREES = {2: 1.0, 3: 1.7, 4: 2.7, 5: 2.9, 6: 3.6}
"""Degrees of freedom of that estimate: twice its squared mean over its variance; 0.77 (n - 1) beyond."""


def robust_variance(values: Sequence[float] | Floats) -> tuple[float, float]:
    """Variance by the median difference of all pairs, and its degrees of freedom; (0, 0) for fewer than two values.

    The scale that goes with `location` (Shamos 1976; Rousseeuw and Croux 1993): of ten normal values it has 6.9 degrees
    of freedom, where the median absolute deviation has 3.7; a quarter of them may be anywhere.
    """
    count = len(values)
    if count < 2:
        return 0.0, 0.0
    left, right = np.triu_indices(count, 1)
    found = np.asarray(values, dtype=np.float64)
    difference = float(np.median(np.abs(found[left] - found[right])))
    factor = SMALLEST_PAIRS.get(count, 1.099 * (1 - 1.52 / count))
    return factor * difference**2, PAIRS_DEGREES.get(count, 0.77 * (count - 1))


def median_bounds(values: Sequence[float] | Floats, confidence: float = 0.99) -> tuple[float, float]:
    """Exact two-sided bounds of the median, whatever the distribution: two of the values themselves.

    The k-th smallest and k-th largest, with the largest k such that P(Bin(n, 1/2) < k) <= (1 - confidence) / 2;
    infinite where so few values allow no bound at all.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    rank = _rank(len(ordered), confidence)
    if rank == 0:
        return -np.inf, np.inf
    return float(ordered[rank - 1]), float(ordered[-rank])


@cache
def _rank(count: int, confidence: float) -> int:
    from scipy import stats

    below = stats.binom.cdf(np.arange(count), count, 0.5)
    return int(np.count_nonzero(below <= (1 - confidence) / 2))


def control_share(kernel: Floats, control: Floats) -> tuple[float, float]:
    """Covariance of kernel and control over the processes of a baseline, and the control's variance.

    Their quotient is the share theta of the control's movement that the kernel follows. Both are `[processes]`, in log.
    """
    if len(kernel) < 2:
        return 0.0, 0.0
    centred = control - control.mean()
    degrees = len(kernel) - 1
    return float((kernel - kernel.mean()) @ centred) / degrees, float(centred @ centred) / degrees


def moderated(value: float, degrees: float, prior: float, prior_degrees: float) -> float:
    """The mean of a value and its class's, each weighed by its degrees of freedom."""
    return (degrees * value + prior_degrees * prior) / (degrees + prior_degrees)


def location(values: Sequence[float] | Floats) -> float:
    """Where a few processes lie: the median of the means of all pairs (Hodges and Lehmann 1963).

    It wastes a fourteenth of the processes where they are normal, the median a third, and one outlier among four does
    not carry it off; among three only the median withstands one.
    """
    found = np.asarray(values, dtype=np.float64)
    if len(found) == 3:
        return float(np.median(found))
    left, right = np.triu_indices(len(found))
    return float(np.median((found[left] + found[right]) / 2))


def location_variance(count: int) -> float:
    """Variance of the `location` of `count` normal values, in theirs; within 2 % for any count."""
    return {1: 1.0, 2: 0.5, 3: 0.449}.get(count, 1.08 / count)


def t_quantile(probability: float, degrees: float) -> float:
    """The quantile of Student's t."""
    from scipy import special

    return float(special.stdtrit(degrees, probability))


def t_tail(value: float, degrees: float) -> float:
    """The probability that Student's t exceeds `value`."""
    from scipy import special

    return float(special.stdtr(degrees, -value))


def discoveries(p_values: Sequence[float], rate: float) -> tuple[bool, ...]:
    """Which hypotheses are rejected so that at most a share `rate` of the rejections is false (Benjamini-Hochberg).

    Where all are true, that is the probability of any rejection; where many are false, as when every kernel slowed at
    once, it does not cost the power that a bound on any false rejection does.
    """
    from scipy import stats

    return tuple(bool(each <= rate) for each in stats.false_discovery_control(p_values)) if p_values else ()


def contamination(again: Sequence[tuple[float, float]], floor: float) -> str:
    """Why the machine was too noisy for a verdict, judged by the control against itself alone; empty if it was not.

    The exact 95 % interval of the median of log(a / b) must not leave zero by more than half of the floor, and half of
    its width must stay below the floor, or a change of that size would be lost in it. The width is that of the median,
    as verdicts rest on the median. `floor` is a fraction, 0.05 for 5 %.
    """
    ratios = [float(np.log(a / b)) for a, b in again]
    low, high = median_bounds(ratios, 0.95)
    limit = float(np.log1p(floor))
    if not np.isfinite(low):
        return f"only {len(ratios)} pairs of the control against itself"
    if low > limit / 2 or high < -limit / 2:
        return f"the control differs from itself by {abs(np.median(ratios)):.1%}"
    if (high - low) / 2 > limit:
        return f"the control against itself is known to {(high - low) / 2:.1%} only"
    return ""
