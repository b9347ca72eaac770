"""Whether errors have a mean: rounding to nearest has none, truncation does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.judge.verdict.false_alarms import FalseAlarms


@dataclass(frozen=True, slots=True)
class Clusters:
    """What a mean is taken over: `elements`, of so many `rows` that errors may have in common, and of so many
    `columns`, each of the values of one key head."""

    elements: int
    rows: float
    columns: float

    @staticmethod
    def of(kept: Tensor, columns: int, group: int) -> Clusters:
        """Of rows `kept`, bool `[B, H, S]`, with so many columns; `group` query heads share a key head.

        Columns of unequal lengths count as the fewer equal ones whose sums vary as much: (sum n^2)^2 / sum n^4.
        """
        batches, heads, rows = kept.shape
        length_square = kept.view(batches, heads // group, group * rows).sum(dim=2).double().square()
        of_equal_length = float(length_square.sum().square() / length_square.square().sum().clamp_min(1.0))
        count = int(kept.sum())
        return Clusters(count * columns, count, columns * of_equal_length)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of the standard error; 0 where there is none."""
        return max(min(self.rows, self.columns) - 1, 0.0)

    def least(self, alarms: FalseAlarms, noise: float) -> float:
        """The least |mean| that is over its limit where each element has an error of its own of this RMS, and none is
        shared; infinite where there is no standard error."""
        if not self.degrees:
            return math.inf
        return alarms.mean_quantile(self.degrees) * noise / math.sqrt(self.elements)


@dataclass(frozen=True, slots=True)
class Bias:
    """The mean of some deviations, its own standard error, and the degrees of freedom of that."""

    mean: float
    standard_error: float
    degrees: float

    def limit(self, alarms: FalseAlarms) -> float:
        """The |mean| that deviations without a bias stay below, by Student's t."""
        return alarms.mean_quantile(self.degrees) * self.standard_error


def bias(deviations: Tensor, kept: Tensor, group: int) -> Bias:
    """The bias of deviations `[B, H, S, D]` in the rows `kept`, bool `[B, H, S]`; the others are 0.

    Errors of one row have its probabilities in common, those of one column of a key head its values, so the standard
    error is clustered both ways (Cameron, Gelbach and Miller, 2011): the sums over G rows and over G columns, each
    times G / (G - 1), less the elements that both count. `group`: query heads that share a key head. There are more
    than one of either.
    """
    batches, heads, _, columns = deviations.shape
    clusters = Clusters.of(kept, columns, group)
    mean = deviations.sum(dtype=torch.float64) / clusters.elements
    centred = deviations - mean.to(deviations.dtype)
    if not bool(kept.all()):
        centred = torch.where(kept.unsqueeze(3), centred, 0.0)
    by_row = centred.sum(dim=3, dtype=torch.float64).square().sum() * _correction(clusters.rows)
    per_key_head = centred.sum(dim=2, dtype=torch.float64).view(batches, heads // group, group, columns)
    by_column = per_key_head.sum(dim=2).square().sum() * _correction(clusters.columns)
    both = by_row + by_column - centred.square().sum(dtype=torch.float64)
    variance = max(float(both), float(by_row), float(by_column)) / clusters.elements**2
    return Bias(float(mean), variance**0.5, clusters.degrees)


def _correction(clusters: float) -> float:
    """What the mean, taken from the same sums, takes off them: G / (G - 1)."""
    return clusters / (clusters - 1)
