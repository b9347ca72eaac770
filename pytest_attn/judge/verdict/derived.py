"""The verdict of the derived budget: what the errors show, against the limits that rounding sets."""

from __future__ import annotations

import math
from functools import cached_property, partial

import torch
from torch import Tensor

from pytest_attn.judge.budget.budget import Budget, LseBudget, OutBudget
from pytest_attn.judge.budget.precision import ROUNDING_RMS, unit_roundoff
from pytest_attn.judge.budget.value_rank import value_rank
from pytest_attn.judge.calibration import MODEL, NO_REPEATS
from pytest_attn.judge.verdict.bias import Clusters, bias
from pytest_attn.judge.verdict.false_alarms import PER_CELL, FalseAlarms
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.statistics import Statistic, judged
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.judge.verdict.worst import Worst
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs

NOTHING = 1e-9
"""A share of the largest standard deviation of a result that is as good as none."""

LEAST_SIGMA = 1e-30
"""A standard deviation that is none, whatever the others are."""

MANY = 1e9
"""Multiples of rounding from which on a figure says no more than that it is wrong."""


def derived(
    out: Tensor | None,
    lse: Tensor | None,
    reference: Reference,
    allowed: Budget,
    inputs: Inputs,
    alarms: FalseAlarms = PER_CELL,
) -> Verdict:
    """The verdict on out `[B, H, Sq, Dv]` and lse `[B, H, Sq]`, in the oracle's precision; None where not asked for."""
    statistics: list[Statistic] = []
    if out is not None and allowed.out is not None:
        assert reference.out is not None
        degrees = _degrees_of_freedom(reference, inputs, allowed)
        dtype = torch.finfo(inputs.query.dtype)
        least = dtype.smallest_normal * dtype.eps
        errors = OutErrors(
            "out", out, reference.out, ~reference.empty_rows, allowed.out, degrees, inputs.query.dtype, least
        )
        group, repeats = inputs.query.shape[1] // inputs.key.shape[1], float(allowed.repeats.max())
        statistics += errors.statistics(group, repeats, alike=_alike(inputs.value))
    if lse is not None and allowed.lse is not None:
        statistics.append(_lse(lse, reference, allowed.lse))
    return judged(statistics, alarms)


class OutErrors:
    """The errors of an output, or of a gradient, in standard deviations of rounding, and the statistics of them.

    `found` and `truth` are `[B, H, S, D]`, of one precision; bool `kept` and `degrees` of freedom `[B, H, S]`. `dtype`
    is that of the result before it was compared, `least` the size from which on its rounding is relative.
    """

    def __init__(
        self,
        name: str,
        found: Tensor,
        truth: Tensor,
        kept: Tensor,
        allowed: OutBudget,
        degrees: Tensor,
        dtype: torch.dtype,
        least: float = 0.0,
    ) -> None:
        self._name = name
        self._kept = kept
        self._found = found
        self._reference = truth
        self._allowed = allowed
        self._degrees = degrees
        self._dtype = dtype
        self._least = least
        self._z = torch.where(self._kept.unsqueeze(3), (found - truth) / allowed.sigma, 0.0)

    def statistics(self, group: int, repeats: float, *, alike: bool = False) -> list[Statistic]:
        """All of them; where errors of different rows may be one error, those of single rows.

        `group`: how many heads in a row share the values that their errors have in common; `repeats`: in how many
        terms of a sum roundings are one error; `alike`: whether results of different rows may be next to equal, and so
        the rounding of each: no mean is taken then.
        """
        found = [Statistic(self._row_rms), Statistic(self._largest)]
        if repeats < NO_REPEATS and bool(self._kept.any()):
            clusters = Clusters.of(self._kept, self._z.shape[3], group)
            found.append(Statistic(self._rms))
            if not alike:
                found.append(Statistic(partial(self._bias, group), partial(self._bias_sees, clusters)))
        return found

    def _bounds(self, alarms: FalseAlarms) -> tuple[Tensor, float]:
        """(bound, K): of each element in standard deviations, what rounding can come to at most, and the rest K times;
        K the largest that any of them is off by."""
        worst = alarms.largest_deviation(self._z.numel())
        return (self._allowed.bound + worst * self._allowed.rest) / self._allowed.sigma, worst

    def _row_rms(self, alarms: FalseAlarms, figures: dict[str, float]) -> Finding | None:
        """The RMS of each row: what a key too few or too many shows in, at any length."""
        bound, _ = self._bounds(alarms)
        rms = self._z.square().mean(dim=3).sqrt()
        limits = torch.minimum(alarms.row_rms_limits(self._degrees), bound.square().mean(dim=3).sqrt())
        worst = Worst.of(rms / limits)
        figures |= {f"{self._name}_row_rms": float(rms.max()), f"{self._name}_row_rms_share": worst.share}
        if worst.share <= 1.0:
            return None
        reached, limit = worst.at(rms), worst.at(limits)
        return Finding(
            what=f"{self._name}_row_rms",
            tensor=self._name,
            words=self._exactly(worst) or f"row RMS {_size(reached)} x the rounding error expected, limit {limit:.3g}",
            figure=reached,
            limit=limit,
            place=worst.place(rms.shape),
        )

    def _largest(self, alarms: FalseAlarms, figures: dict[str, float]) -> Finding | None:
        """The largest error of one element, against its own bound: what a single wrong number shows in."""
        bound, most = self._bounds(alarms)
        size = self._z.abs()
        shares = (size / bound.clamp_max(most)).amax(dim=3)
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
            words=self._exactly(worst)
            or f"an element is off by {_size(reached)} standard deviations of rounding, limit {limit:.3g}",
            figure=reached,
            limit=limit,
            place=worst.place(largest.shape),
        )

    def _rms(self, alarms: FalseAlarms, figures: dict[str, float]) -> Finding | None:
        """The RMS over all rows: what a kernel shows in that is a little less exact than it declares, everywhere."""
        rms, limit = self._kept_rms(self._z), self._rms_limit(alarms)
        figures |= {f"{self._name}_rms": rms, f"{self._name}_rms_share": rms / limit}
        if rms <= limit:
            return None
        return Finding(
            what=f"{self._name}_rms",
            tensor=self._name,
            words=f"RMS {_size(rms)} x the rounding error expected over all rows, limit {limit:.3g}",
            figure=rms,
            limit=limit,
        )

    def _rms_limit(self, alarms: FalseAlarms) -> float:
        return MODEL * alarms.rms_limit(float(self._degrees[self._kept].sum(dtype=torch.float64)))

    def _kept_rms(self, of: Tensor) -> float:
        """The RMS over the rows that are kept of what is 0 in all others, `[B, H, S, D]`."""
        return math.sqrt(float(of.square().sum(dtype=torch.float64)) / (int(self._kept.sum()) * of.shape[3]))

    def _bias(self, group: int, alarms: FalseAlarms, figures: dict[str, float]) -> Finding | None:
        """The mean error, upwards and away from zero: rounding to nearest has none."""
        # Where the truth is less than its rounding, its sign says nothing; where few numbers are left, up and down are
        # not the same.
        size = self._reference.abs()
        sign = torch.sign(self._reference) * ((size > self._allowed.sigma) & (size > self._least))
        each, share, finding = alarms.shared(2), 0.0, None
        expected = self._expected_mean(each)
        for where, deviations in (("upwards", self._z), ("away from zero", self._z * sign)):
            found = bias(deviations, self._kept, group)
            limit = found.limit(each) + expected
            reached = abs(found.mean) / max(limit, 1e-300)
            if reached > share:
                share = reached
                finding = Finding(
                    what=f"{self._name}_bias",
                    tensor=self._name,
                    words=f"mean error {_size(found.mean, '+')} standard deviations of rounding {where}, "
                    f"limit {limit:.3g}",
                    figure=found.mean,
                    limit=limit,
                )
        figures[f"{self._name}_bias_share"] = share
        return finding if share > 1.0 else None

    def _exactly(self, worst: Worst) -> str:
        """The element that is furthest off in a row, where next to nothing is allowed to it; else empty.

        A multiple of nothing says nothing, as the budget of a product with 0.
        """
        row = (worst.batch, worst.head, worst.row)
        sigma = self._allowed.sigma.expand_as(self._z)
        column = int(self._z[row].abs().nan_to_num(torch.inf).argmax())
        if float(sigma[row][column]) > max(NOTHING * float(sigma.max()), LEAST_SIGMA):
            return ""
        expected, got = float(self._reference[row][column]), float(self._found[row][column])
        error = "no error" if expected == 0 else "next to no error"
        return f"off where {error} is allowed: expected {expected:.4g}, got {got:.4g}"

    def _bias_sees(self, clusters: Clusters, alarms: FalseAlarms) -> bool:
        """Whether the mean could be over its limit where the RMS is not.

        A result has the error of its own rounding at least. Were that the only one, a mean b beside it would show from
        b = least on, and in the RMS where b^2 + rounding^2 is over the square of its limit.
        """
        rounding = ROUNDING_RMS * unit_roundoff(self._dtype) * self._sizes[1]
        each = alarms.shared(2)
        least = clusters.least(each, rounding) + self._expected_mean(each)
        return math.hypot(least, rounding) < self._rms_limit(alarms)

    def _expected_mean(self, alarms: FalseAlarms) -> float:
        """The mean that errors may have which do not average out, in standard deviations."""
        return self._sizes[0] * (self._allowed.systematic + alarms.largest_deviation(1) * self._allowed.common)

    @cached_property
    def _sizes(self) -> tuple[float, float]:
        """(mean, RMS) of the truth over its standard deviation, over the rows that are kept."""
        size = torch.where(self._kept.unsqueeze(3), self._reference.abs() / self._allowed.sigma, 0.0)
        mean = float(size.sum(dtype=torch.float64)) / (int(self._kept.sum()) * size.shape[3])
        return mean, self._kept_rms(size)


def _alike(value: Tensor) -> bool:
    """Whether some head has one value `[D]` for all of its keys."""
    return bool((value == value[:, :, :1]).all(dim=3).all(dim=2).any())


def _size(figure: float, sign: str = "") -> str:
    """A figure for a person; one that no rounding comes near, in words."""
    if abs(figure) < MANY:
        return f"{figure:{sign}.3g}"
    return f"{'minus ' if figure < 0 else ''}more than a billion"


def _lse(lse: Tensor, reference: Reference, allowed: LseBudget) -> Statistic:
    """The largest error of an LSE, each row's against its own limit."""
    kept = ~reference.empty_rows
    # -inf - -inf is NaN: empty rows were compared as facts.
    error = torch.where(kept, lse - reference.lse, 0.0)

    def measure(alarms: FalseAlarms, figures: dict[str, float]) -> Finding | None:
        limits = allowed.limits(alarms.largest_deviation(error.numel()))
        worst = Worst.of(torch.where(kept, error.abs() / limits.clamp_min(1e-300), 0.0))
        figures |= {"lse_error": float(error.abs().max()), "lse_share": worst.share}
        if worst.share <= 1.0:
            return None
        off, limit = worst.at(error), worst.at(limits)
        words = f"off by {off:+.3g}, limit {limit:.3g}"
        return Finding(what="lse", tensor="lse", words=words, figure=off, limit=limit, place=worst.place(kept.shape))

    return Statistic(measure)


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
