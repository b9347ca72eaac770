"""The online softmax: sums that are not rescaled when the maximum grows, and splits that are merged wrongly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence, Weights

GROUP = 16
"""Neighbouring keys that are looked at together; tiles are multiples of it."""

HEAVY = 2.0**-12
"""Weights below this are too coarse to compare."""

MANY_LEVELS = 8
"""More factors than this among 20 groups of growing logits come from tiles, fewer from splits."""


@dataclass(frozen=True, eq=False)
class Levels:
    """By what factor the weights of each group of keys are off: `ratio` `[B, H, R, G]`, NaN where no key of a group has
    weight; `even`: whether the keys of a group are off by one factor; `keys` in a group."""

    ratio: Tensor
    even: bool
    keys: int

    @staticmethod
    def of(weights: Weights) -> Levels:
        """The levels of measured weights."""
        size = max(1, GROUP // weights.width)
        heavy = weights.expected > HEAVY
        actual, expected = (_grouped(w.where(heavy, 0.0), size) for w in (weights.actual, weights.expected))
        total = expected.sum(dim=4)
        ratio = (actual.sum(dim=4) / total).where(total > 0, torch.nan)
        off = (actual / expected / ratio.unsqueeze(4) - 1.0).abs().where(expected > 0, torch.nan)
        seen = off.isfinite()
        even = float((off[seen] < 0.03).float().mean()) > 0.9 if bool(seen.any()) else False
        return Levels(ratio, even, size * weights.width)

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest factor."""
        seen = self.ratio[self.ratio.isfinite()]
        return float(seen.min()), float(seen.max())

    @property
    def largest_step(self) -> float:
        """Largest quotient of two factors of a row."""
        low = self.ratio.nan_to_num(torch.inf, posinf=torch.inf).amin(dim=3)
        high = self.ratio.nan_to_num(-torch.inf, posinf=torch.inf).amax(dim=3)
        quotient = (high / low.clamp_min(1e-30)).where(high.isfinite() & low.isfinite(), 1.0)
        return float(quotient.max())

    @property
    def changes(self) -> Tensor:
        """bool `[G - 1]`: where one group's factor and the next one's differ in some row."""
        quotient = self.ratio[..., 1:] / self.ratio[..., :-1] - 1.0
        return (quotient.abs() > 0.05).any(dim=(0, 1, 2))


def _grouped(per_column: Tensor, size: int) -> Tensor:
    missing = -per_column.shape[3] % size
    return torch.nn.functional.pad(per_column, (0, missing)).unflatten(3, (-1, size))


def online_softmax(evidence: Evidence) -> Diagnosis | None:
    """Weights that are right among the keys of a tile or split, and off by a factor between them."""
    if evidence.varied is None:
        return None
    levels = Levels.of(evidence.varied)
    if not levels.even:
        return None
    if levels.largest_step > 1.1:
        return _between_tiles(evidence, levels)
    low, high = levels.span
    if high - low > 0.05:
        phrase = f"the weights of a row add up to {low:.3g} to {high:.3g}: their sum and the output are rescaled apart"
        return Diagnosis("rescale", phrase)
    return None


def _between_tiles(evidence: Evidence, levels: Levels) -> Diagnosis:
    step, edge = levels.largest_step, levels.keys * (1 + int(levels.changes.float().argmax()))
    growing = evidence.growing
    if growing is None:
        many = int(levels.changes.sum()) > 1
    else:
        many = int(Levels.of(growing).changes.sum()) > MANY_LEVELS
    where = f"from key {edge} on the weights are off by another factor than before, up to {step:.3g} x"
    if many:
        return Diagnosis("rescale", f"{where}: sums are not rescaled when the maximum grows")
    return Diagnosis("merge", f"{where}: splits are not merged by their sums of exponentials")
