"""Errors without structure: too much rounding, or rounding to one side."""

from __future__ import annotations

import torch

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.online import GROUP, grouped

MOST_BIAS = 1.5
"""Roundings, in machine epsilons, that cutting instead of rounding may make of an output."""

MOST_NOISE = 0.2
"""Errors above this share of the output are not for want of bits."""


def rounding(evidence: Evidence) -> Diagnosis | None:
    """Errors that are small and follow no pattern, or lean to one side."""
    expected = evidence.model.reference().out
    if evidence.out is None or expected is None or evidence.out_is_right or not bool(evidence.out.isfinite().all()):
        return None
    error = evidence.out - expected
    share = float(error.square().mean().sqrt() / expected.square().mean().sqrt().clamp_min(1e-30))
    if share > MOST_NOISE or not _without_structure(evidence):
        return None
    toward = (error * expected.sign()).flatten()
    lean = float(toward.mean() / toward.square().mean().sqrt().clamp_min(1e-30))
    if abs(lean) > 0.4 and toward.numel() > 256:
        if share > MOST_BIAS * torch.finfo(evidence.problem.dtype).eps:
            return None
        side = "away from" if lean > 0 else "towards"
        return Diagnosis("sign bias", f"errors lean {side} zero: their mean is {abs(lean):.2f} of their RMS")
    return Diagnosis("precision", f"errors of {share:.2g} of the output without a pattern: too few bits are kept")


def _without_structure(evidence: Evidence) -> bool:
    """Whether the weights are right on average: they add up to 1, none is far off, and those of neighbouring keys are
    off by amounts of their own, not by one."""
    weights = evidence.weights
    if weights is None:
        return False
    total, expected = weights.actual.sum(dim=3), weights.expected.sum(dim=3)
    heavy = weights.expected > 2.0**-8
    off = (weights.actual / weights.expected - 1.0).where(heavy, torch.nan)
    if not bool(((total - expected).abs() < 0.1).all()) or float(off.abs().nan_to_num(0.0).max()) > 0.3:
        return False
    off = grouped(off - off.nanmean(dim=3, keepdim=True), GROUP)
    full = off.isfinite().sum(dim=4) >= GROUP // 2
    if int(full.sum()) < 8:
        return True
    between = float(off.nanmean(dim=4)[full].square().mean()) * GROUP / 2
    within = float((off - off.nanmean(dim=4, keepdim=True))[full].nan_to_num(0.0).square().mean())
    return between < 8 * within + 1e-30


def lse_rounding(evidence: Evidence) -> Diagnosis | None:
    """An LSE that is a little off in each row, each by another amount."""
    if evidence.lse is None or evidence.lse_is_right or not evidence.out_is_right or not evidence.weights_are_right:
        return None
    kept = ~evidence.model.lse.isneginf()
    error = (evidence.lse - evidence.model.lse)[kept]
    if not bool(error.isfinite().all()) or float(error.abs().max()) > 0.05 or error.numel() < 8:
        return None
    if float(error.mean().abs()) > 0.5 * float(error.square().mean().sqrt()):
        return None
    return Diagnosis("precision", f"lse is off by up to {float(error.abs().max()):.2g}, each row by another amount")
