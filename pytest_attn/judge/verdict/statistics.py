"""Limits of the verdict statistics at a stated rate of false alarms."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special
from torch import Tensor

FALSE_ALARMS = 1e-9
"""Probability that a correct kernel, with errors as its budget says, is called wrong on one case; shared among the
statistics."""

STATISTICS = 6
"""Statistics that share the rate: of the output row RMS, largest |z|, RMS of all and two means, of the LSE largest
|z|."""

RATE = FALSE_ALARMS / STATISTICS
"""The share of each statistic."""


def largest_deviation(count: int) -> float:
    """The |z| that the largest of `count` normal deviates stays below."""
    return -float(special.ndtri(RATE / 2 / max(count, 1)))


def rms_limit(degrees: float) -> float:
    """The RMS of normal deviates of so many degrees of freedom stays below this."""
    return float(np.sqrt(special.chdtri(max(degrees, 1.0), RATE) / max(degrees, 1.0)))


def row_rms_limits(degrees: Tensor) -> Tensor:
    """The row RMS of z that the largest of all rows stays below, for rows of so many degrees of freedom each."""
    rate = RATE / max(degrees.numel(), 1)
    # The quantile is smooth in log(degrees): a grid of 64 is within 1e-3, and a row each would take seconds.
    grid = np.geomspace(1.0, max(2.0, float(degrees.max())), 64)
    limits = np.sqrt(special.chdtri(grid, rate) / grid)
    flat = np.interp(np.log(degrees.clamp_min(1.0).double().numpy()), np.log(grid), limits)
    return torch.from_numpy(flat).to(degrees.dtype)


def value_rank(value: Tensor) -> Tensor:
    """Effective rank of each head's values `[B, H, S, D]`, each column scaled to unit mean square: `[B, H]`, 1 to D.

    (sum of eigenvalues)^2 / (sum of their squares) of the correlation matrix: 1 where all columns are equal.
    """
    value = value.float()
    norm = value.square().sum(dim=2).sqrt()
    gram = value.transpose(2, 3) @ value / (norm.unsqueeze(2) * norm.unsqueeze(3)).clamp_min(1e-30)
    trace = (norm > 0).sum(dim=2)
    return (trace.square() / gram.square().sum(dim=(2, 3)).clamp_min(1e-30)).clamp_min(1.0)
