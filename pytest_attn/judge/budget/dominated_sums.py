"""Sums that are nearly one term: the last rounding of their result is no accident, and errors of it have a mean."""

from __future__ import annotations

import torch
from torch import Tensor

SPACING = 2
"""The distance of a number to the next, at most, in unit roundoffs of its own size."""


def is_dominated(others: Tensor, dtype: torch.dtype) -> Tensor:
    """Which sums one term dominates, bool: `others`, what the other terms come to relative to the sum, is less than one
    spacing of the result's dtype."""
    return others < SPACING * torch.finfo(dtype).eps / 2


def lost_weight(others: Tensor, additions: Tensor, unit: float) -> Tensor:
    """What the sum of the weights of a row may lose, relative to it, where one key has nearly all of it.

    Once that key is in the sum, each addition is off by at most half of a spacing, u, and by at most what is added:
    `others` in all. Where the mean of what is added is less than a spacing, most of it is lost, all of one
    sign. `additions`: how many numbers are added one after the other; `unit`: u of the sum. All of one shape.
    """
    return torch.minimum(others, additions * unit).where(others < SPACING * additions * unit, 0.0)


def mean_rounding(exact: Tensor, stored: Tensor, dominated: Tensor, sigma: Tensor, dtype: torch.dtype) -> float:
    """The mean error of the sums `[B, H, S, D]` that one term dominates, relative as `OutBudget.systematic`.

    A value of the inputs, or a stored probability times 1, is a number of the result's dtype already. What other terms
    add is then lost below half of a spacing, and else raised to a whole one. Of sizes that spread evenly in their
    logarithm, more is lost than added.

    `stored`: the sums of terms as a kernel stores them. `dominated`: bool `[B, H, S, D]` or `[B, H, S]`. `sigma`: the
    standard deviation of each sum.
    """
    sums = exact[dominated]
    errors = (stored[dominated].to(dtype).to(sums.dtype) - sums) / sigma[dominated]
    means = (float(each.sum(dtype=torch.float64)) for each in (errors, errors * sums.sign()))
    size = float((exact.abs() / sigma).sum(dtype=torch.float64))
    return max(map(abs, means)) / max(size, 1e-300)
