"""Whether errors have a mean: rounding to nearest has none, truncation does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import special
from torch import Tensor

FEWEST_CLUSTERS = 8
"""Rows or columns that a standard error needs at least."""


@dataclass(frozen=True, slots=True)
class Bias:
    """The mean of some deviations, its own standard error, and the degrees of freedom of that."""

    mean: float
    standard_error: float
    degrees: int

    def limit(self, rate: float) -> float:
        """The |mean| that deviations without a bias exceed at this rate of false alarms, by Student's t."""
        return -float(special.stdtrit(self.degrees, rate / 2)) * self.standard_error


def bias(deviations: Tensor, group: int) -> Bias | None:
    """The bias of deviations `[B, H, S, D]`; None where rows or columns are too few.

    Errors of one row have its probabilities in common, those of one column of a key head its values, so the standard
    error is clustered both ways (Cameron, Gelbach and Miller, 2011): the sums over rows and over columns, less the
    elements that both count. `group`: query heads that share a key head.
    """
    batches, heads, rows, columns = deviations.shape
    clusters = min(batches * heads * rows, batches * heads // group * columns)
    if clusters < FEWEST_CLUSTERS:
        return None
    mean = deviations.mean(dtype=torch.float64)
    centred = deviations - mean.to(deviations.dtype)
    by_row = centred.sum(dim=3, dtype=torch.float64).square().sum()
    per_key_head = centred.sum(dim=2, dtype=torch.float64).view(batches, heads // group, group, columns)
    by_column = per_key_head.sum(dim=2).square().sum()
    both = by_row + by_column - centred.square().sum(dtype=torch.float64)
    variance = max(float(both), float(by_row), float(by_column)) / deviations.numel() ** 2
    return Bias(float(mean), variance**0.5, clusters - 1)
