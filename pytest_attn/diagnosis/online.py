"""The online softmax: sums that are not rescaled when the maximum grows, and splits that are merged wrongly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import FEW_KEYS, GROWING_KEYS, WHOLE_KEYS, Evidence
from pytest_attn.diagnosis.weights import Weights

GROUP = 16
"""Neighbouring keys that are looked at together; tiles are multiples of it."""

HEAVY = 2.0**-12
"""Weights below this are too coarse to compare."""

FAR = 60.0
"""Logits beyond this and its negative are far from 0."""

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
        """From the ratio of actual and expected weight, over the keys that carry more than `HEAVY`."""
        size = max(1, GROUP // weights.width)
        heavy = weights.expected > HEAVY
        actual, expected = (grouped(w.where(heavy, 0.0), size) for w in (weights.actual, weights.expected))
        total = expected.sum(dim=4)
        ratio = (actual.sum(dim=4) / total).where(total > 0, torch.nan)
        off = (actual / expected / ratio.unsqueeze(4) - 1.0).abs().where(expected > 0, torch.nan)
        seen = off.isfinite()
        even = float((off[seen] < 0.03).float().mean()) > 0.9 if bool(seen.any()) else False
        return Levels(ratio, even, size * weights.width)

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


def grouped(per_column: Tensor, size: int) -> Tensor:
    missing = -per_column.shape[3] % size
    return torch.nn.functional.pad(per_column, (0, missing)).view(*per_column.shape[:3], -1, size)


def maximum(evidence: Evidence) -> Diagnosis | None:
    """Logits that are all far from 0: what the maximum is subtracted for."""
    largest = evidence.model.maximum.where(~evidence.model.lse.isneginf(), 0.0)
    if float(largest.max()) < FAR and float(largest.min()) > -FAR:
        return None
    # Whole tiles: padding of logit 0 would win over them.
    level = {
        logit: _evenly_shared(evidence.of_logits(torch.full((WHOLE_KEYS,), logit))) for logit in (0.0, -120.0, 120.0)
    }
    if level[0.0] is not True or level[-120.0] is not False:
        return None
    if level[120.0] is False:
        return Diagnosis("overflow", "logits of 120 or -120 give no result: the maximum is not subtracted")
    return Diagnosis("rescale", "logits of -120 give no result: they are all far below a maximum that starts at 0")


def _evenly_shared(weights: Weights | None) -> bool | None:
    if weights is None:
        return None
    return bool(((weights.actual - weights.expected).abs() < 0.2 * weights.expected).all())


def last_keys(evidence: Evidence) -> Diagnosis | None:
    """Weights that are wrong at a few last keys, and right among all others."""
    weights, length = evidence.varied, evidence.problem.key_length
    if weights is None or weights.width > 1 or length % GROUP == 0 or length < GROUP:
        return None
    heavy = (weights.expected > HEAVY) | (weights.actual > HEAVY)
    ratio = (weights.actual / weights.expected.clamp_min(1e-30)).where(heavy, torch.nan)
    level = ratio[..., : length // GROUP * GROUP].nanmedian(dim=3, keepdim=True).values
    off = ((ratio / level - 1.0).abs() > 0.1).any(dim=(0, 1, 2)).nonzero().flatten()
    if not len(off) or int(off[0]) < length // GROUP * GROUP:
        return None
    keys = f"keys {int(off[0])}-{int(off[-1])}" if len(off) > 1 else f"key {int(off[0])}"
    return Diagnosis("tail", f"the weights of {keys} of {length} are wrong, those of all others right among themselves")


def flushed_weights(evidence: Evidence) -> Diagnosis | None:
    """Weights that are lost because they are small, and no others."""
    weights, uniform = evidence.varied, evidence.uniform
    if weights is None or uniform is None or weights.width > 1:
        return None
    relative = weights.expected / weights.expected.amax(dim=3, keepdim=True).clamp_min(1e-30)
    lost = (weights.actual == 0) & (weights.expected > HEAVY)
    if not bool(lost.any()) or bool(((uniform.actual == 0) & (uniform.counts > 0)).any()):
        return None
    largest = float(relative[lost].max())
    below = (relative < largest) & (weights.expected > HEAVY)
    if largest > 2.0**-4 or float(lost.sum()) < 0.5 * float(below.sum()):
        return None
    return Diagnosis("precision", f"weights below {largest:.2g} of the largest of their row are lost")


def online_softmax(evidence: Evidence) -> Diagnosis | None:
    """Weights that are right among the keys of a tile or split, and off by a factor between them."""
    if evidence.varied is None:
        return None
    levels = Levels.of(evidence.varied)
    if not levels.even:
        return None
    if levels.largest_step > 1.1:
        return _between_tiles(evidence, levels)
    totals = evidence.varied.actual.sum(dim=3)[evidence.varied.expected.any(dim=3)]
    low, high = float(totals.min()), float(totals.max())
    if high - low < 0.05:
        return None
    phrase = f"the weights of a row add up to {low:.3g} to {high:.3g}"
    few, tile, many = (_total(evidence.stretched(keys)) for keys in (FEW_KEYS, 64, GROWING_KEYS))
    if few and tile and many and max(abs(few - 1.0), abs(tile - 1.0)) < 0.02 < abs(many - 1.0):
        return Diagnosis("merge", f"{phrase}, of many equal keys to {many:.3g}: splits are not merged by their sums")
    return Diagnosis("rescale", f"{phrase}: their sum and the output are rescaled apart")


def _total(weights: Weights | None) -> float | None:
    """What the weights of a row add up to, in the row where that is furthest from 1."""
    if weights is None:
        return None
    totals = weights.actual.sum(dim=3).flatten()
    return float(totals[(totals - 1.0).abs().argmax()])


def _between_tiles(evidence: Evidence, levels: Levels) -> Diagnosis | None:
    if bool((levels.ratio == 0).any()):
        # Keys that are lost are off by no factor.
        return None
    step, edge = levels.largest_step, levels.keys * (1 + int(levels.changes.float().argmax()))
    phrase = f"from key {edge} on the weights are off by another factor than before, up to {step:.3g} x"
    few = _total(evidence.few)
    if few and abs(few - 1.0) > 0.05:
        why = f"the weights of {FEW_KEYS} keys add up to {few:.3g}: not divided by their sum"
        return Diagnosis("rescale", f"{phrase}; {why}")
    growing = evidence.growing
    changes = levels.changes if growing is None else Levels.of(growing).changes
    if int(changes.sum()) > (1 if growing is None else MANY_LEVELS):
        return Diagnosis("rescale", f"{phrase}: sums are not rescaled when the maximum grows")
    return Diagnosis("merge", f"{phrase}: splits are not merged by their sums of exponentials")
