"""How often a correct kernel is called wrong, and the limits of the verdict's statistics at that rate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import special
from torch import Tensor


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """The probability, at most, that a correct kernel whose errors are as its budget says is called wrong.

    It is that of a cell, and is shared out in equal parts: first among the results that a check compares (calls,
    splits, relations), then among the statistics of each. Probabilities of several errors add up at most (Bonferroni),
    whatever the statistics have in common. Raises ValueError for a rate that is no probability between 0 and 1.
    """

    rate: float

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < 1.0:
            raise ValueError(f"rate of false alarms {self.rate}; allowed: more than 0 and less than 1")

    def shared(self, among: int) -> FalseAlarms:
        """The part of each of `among` that share this rate."""
        return replace(self, rate=self.rate / max(among, 1))

    def largest_deviation(self, count: int) -> float:
        """The |z| that the largest of `count` normal deviates stays below."""
        return -float(special.ndtri(self.rate / 2 / max(count, 1)))

    def rms_limit(self, degrees: float) -> float:
        """The RMS of normal deviates of so many degrees of freedom stays below this."""
        return float(np.sqrt(special.chdtri(max(degrees, 1.0), self.rate) / max(degrees, 1.0)))

    def row_rms_limits(self, degrees: Tensor) -> Tensor:
        """The row RMS of z that the largest of all rows stays below, for rows of so many degrees of freedom each."""
        rate = self.rate / max(degrees.numel(), 1)
        # The quantile is smooth in log(degrees): a grid of 64 is within 1e-3, and a row each would take seconds.
        grid = np.geomspace(1.0, max(2.0, float(degrees.max())), 64)
        limits = np.sqrt(special.chdtri(grid, rate) / grid)
        flat = np.interp(np.log(degrees.clamp_min(1.0).double().numpy()), np.log(grid), limits)
        return torch.from_numpy(flat).to(degrees.dtype)

    def mean_quantile(self, degrees: float) -> float:
        """How many of its own standard errors a mean of no bias stays below, by Student's t."""
        return -float(special.stdtrit(degrees, self.rate / 2))


PER_CELL = FalseAlarms(1e-9)
"""The rate of one cell."""
