"""The verdict of the derived budget: what the errors show, against the limits that rounding sets."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.judge.budget.budget import Budget, LseBudget, OutBudget
from pytest_attn.judge.verdict.bias import bias
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.statistics import RATE, largest_deviation, rms_limit, row_rms_limits, value_rank
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.judge.verdict.worst import Worst
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs

MODEL = 1.15
"""How far the RMS of all deviations may lie above the model's; the calibration of correct kernels stays below it."""

NO_REPEATS = 1.05
"""Where the logits of a row repeat more than this, errors of different rows may be one error: no mean is taken."""


def derived(out: Tensor | None, lse: Tensor | None, reference: Reference, allowed: Budget, inputs: Inputs) -> Verdict:
    """The verdict on out `[B, H, Sq, Dv]` and lse `[B, H, Sq]`, in the oracle's precision; None where not asked for."""
    found: list[Finding | None] = []
    figures: dict[str, float] = {}
    if out is not None and allowed.out is not None:
        assert reference.out is not None
        dtype = torch.finfo(inputs.query.dtype)
        degrees = _degrees_of_freedom(reference, inputs, allowed)
        kept, least = ~reference.empty_rows, dtype.smallest_normal * dtype.eps
        errors = OutErrors("out", out, reference.out, kept, allowed.out, degrees, least)
        found += [errors.row_rms(figures), errors.largest(figures)]
        if float(allowed.repeats.max()) < NO_REPEATS:
            found += [errors.rms(figures), errors.bias(figures, inputs.query.shape[1] // inputs.key.shape[1])]
    if lse is not None and allowed.lse is not None:
        found.append(_lse(lse, reference, allowed.lse, figures))
    return Verdict(tuple(finding for finding in found if finding), figures)


class OutErrors:
    """The errors of an output, or of a gradient, in standard deviations of rounding, and the statistics of them.

    `found` and `truth` are `[B, H, S, D]`, of one precision; bool `kept` and `degrees` of freedom `[B, H, S]`. `least`
    is the size from which on rounding is relative. Each statistic adds its figures, and returns a finding where it
    is over its limit.
    """

    def __init__(
        self,
        name: str,
        found: Tensor,
        truth: Tensor,
        kept: Tensor,
        allowed: OutBudget,
        degrees: Tensor,
        least: float = 0.0,
    ) -> None:
        self._name = name
        self._kept = kept
        self._reference = truth
        self._allowed = allowed
        self._degrees = degrees
        self._least = least
        self._z = torch.where(self._kept.unsqueeze(3), (found - truth) / allowed.sigma, 0.0)
        # The bound of each element in standard deviations: what rounding can come to at most, and the rest K times.
        worst = largest_deviation(self._z.numel())
        self._bound = (allowed.bound + worst * allowed.rest) / allowed.sigma
        self._worst = worst

    def row_rms(self, figures: dict[str, float]) -> Finding | None:
        """The RMS of each row: what a key too few or too many shows in, at any length."""
        rms = self._z.square().mean(dim=3).sqrt()
        limits = torch.minimum(row_rms_limits(self._degrees), self._bound.square().mean(dim=3).sqrt())
        worst = Worst.of(rms / limits)
        figures |= {f"{self._name}_row_rms": float(rms.max()), f"{self._name}_row_rms_share": worst.share}
        if worst.share <= 1.0:
            return None
        reached, limit = worst.at(rms), worst.at(limits)
        return Finding(
            what=f"{self._name}_row_rms",
            tensor=self._name,
            words=f"row RMS {reached:.3g} x the rounding error expected, limit {limit:.3g}",
            figure=reached,
            limit=limit,
            place=worst.place(rms.shape),
        )

    def largest(self, figures: dict[str, float]) -> Finding | None:
        """The largest error of one element, against its own bound: what a single wrong number shows in."""
        size = self._z.abs()
        shares = (size / self._bound.clamp_max(self._worst)).amax(dim=3)
        worst = Worst.of(shares)
        largest = size.amax(dim=3)
        figures |= {f"{self._name}_largest": float(largest.max()), f"{self._name}_largest_share": worst.share}
        if worst.share <= 1.0:
            return None
        reached = worst.at(largest)
        limit = reached / worst.share
        return Finding(
            what=f"{self._name}_largest",
            tensor=self._name,
            words=f"an element is off by {reached:.3g} standard deviations of rounding, limit {limit:.3g}",
            figure=reached,
            limit=limit,
            place=worst.place(largest.shape),
        )

    def rms(self, figures: dict[str, float]) -> Finding | None:
        """The RMS over all rows: what a kernel shows in that is a little less exact than it declares, everywhere."""
        rows = int(self._kept.sum())
        if not rows:
            return None
        rms = float(self._z.square().sum(dtype=torch.float64) / (rows * self._z.shape[3])) ** 0.5
        limit = MODEL * rms_limit(float(self._degrees[self._kept].sum(dtype=torch.float64)))
        figures |= {f"{self._name}_rms": rms, f"{self._name}_rms_share": rms / limit}
        if rms <= limit:
            return None
        return Finding(
            what=f"{self._name}_rms",
            tensor=self._name,
            words=f"RMS {rms:.3g} x the rounding error expected over all rows, limit {limit:.3g}",
            figure=rms,
            limit=limit,
        )

    def bias(self, figures: dict[str, float], group: int) -> Finding | None:
        """The mean error, upwards and away from zero: rounding to nearest has none.

        `group`: how many heads in a row share the values that their errors have in common.
        """
        # Where the truth is less than its rounding, its sign says nothing; where few numbers are left, up and down are
        # not the same.
        size = self._reference.abs()
        sign = torch.sign(self._reference) * ((size > self._allowed.sigma) & (size > self._least))
        expected = float((self._reference.abs() / self._allowed.sigma).mean(dtype=torch.float64))
        expected *= self._allowed.systematic
        share, finding = 0.0, None
        for where, deviations in (("upwards", self._z), ("away from zero", self._z * sign)):
            found = bias(deviations, group)
            if found is None:
                return None
            limit = found.limit(RATE) + expected
            reached = abs(found.mean) / max(limit, 1e-300)
            if reached > share:
                share = reached
                finding = Finding(
                    what=f"{self._name}_bias",
                    tensor=self._name,
                    words=f"mean error {found.mean:+.3g} standard deviations of rounding {where}, limit {limit:.3g}",
                    figure=found.mean,
                    limit=limit,
                )
        figures[f"{self._name}_bias_share"] = share
        return finding if share > 1.0 else None


def _lse(lse: Tensor, reference: Reference, allowed: LseBudget, figures: dict[str, float]) -> Finding | None:
    kept = ~reference.empty_rows
    # -inf - -inf is NaN: empty rows were compared as facts.
    error = torch.where(kept, lse - reference.lse, 0.0)
    limits = allowed.limits(largest_deviation(error.numel()))
    worst = Worst.of(torch.where(kept, error.abs() / limits.clamp_min(1e-300), 0.0))
    figures |= {"lse_error": float(error.abs().max()), "lse_share": worst.share}
    if worst.share <= 1.0:
        return None
    off, limit = worst.at(error), worst.at(limits)
    words = f"off by {off:+.3g}, limit {limit:.3g}"
    return Finding(what="lse", tensor="lse", words=words, figure=off, limit=limit, place=worst.place(kept.shape))


def _degrees_of_freedom(reference: Reference, inputs: Inputs, allowed: Budget) -> Tensor:
    """Independent errors behind the RMS of each row `[B, H, Sq]`: no more than keys with weight of their own, nor than
    the value's rank.

    A rounded probability is off in every element of the row at once, so a row that few keys carry has few errors.
    """
    assert reference.moments is not None
    moments = reference.moments
    keys = moments.weight_square / moments.peak.square().clamp_min(1e-30)
    keys = keys / allowed.repeats.unsqueeze(2).to(keys.dtype)
    rank = value_rank(inputs.value.cpu()).unsqueeze(2)
    group = keys.shape[1] // rank.shape[1]
    return 1.0 / (1.0 / keys.clamp_min(1.0) + 1.0 / rank.repeat_interleave(group, dim=1).to(keys.dtype))
