"""Rows of queries in a forward pass: what carries each, and how far its weights may be off.

The derivation is the docstring of `pytest_attn.judge.budget.rounding`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.judge.budget.chains import longest_chain, roundings, row_additions
from pytest_attn.judge.budget.dominated_sums import lost_weight
from pytest_attn.judge.budget.logit_products import LogitProducts
from pytest_attn.judge.budget.logit_roundings import LogitRoundings, rounds_products, shifted_unit_square
from pytest_attn.judge.budget.operands import OperandRounding
from pytest_attn.judge.budget.precision import (
    ROUNDING_SQUARE,
    exp_error,
    precision,
    tanh_error,
    unit_roundoff,
    variance_of,
)
from pytest_attn.judge.budget.repeats import repeats
from pytest_attn.judge.calibration import CHANGE_ROUNDINGS
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import sinks
from pytest_attn.problem.masks import visible_keys
from pytest_attn.problem.problem import Problem

DOMINANT = 0.9
"""Share of the weight of a row with which one key has nearly all of it."""


@dataclass(frozen=True, eq=False)
class LogitSquares:
    """Mean squares of the logits of each row under p^2, `[B, H, Sq]`.

    `after` s^2 of what the softmax takes; `before` x^2 of query . key, s^2 where nothing changes them, else at most
    (|s| + D_i)^2, and where a function of them is flat x times its derivative; `change` D_i^2 of what the variants add,
    None where there are none. Beside a cap what is added to at most the cap is at most (|s| + cap)^2.
    """

    after: Tensor
    before: Tensor
    change: Tensor | None

    @staticmethod
    def of(problem: Problem, moments: Moments, weight_square: Tensor, after: Tensor) -> LogitSquares:
        """From the moments of a reference, and s^2."""
        if moments.change_square is None:
            return LogitSquares(after, after, None)
        change = moments.change_square / weight_square
        before = (after.sqrt() + change.sqrt()).square()
        if moments.moved_square is None:
            return LogitSquares(after, before, change)
        cap = max(variant.saturates for variant in problem.variants)
        before = torch.minimum(before, moments.moved_square / weight_square)
        return LogitSquares(after, before, torch.minimum(change, (after.sqrt() + cap).square()))


@dataclass(frozen=True, eq=False, kw_only=True)
class ForwardRows:
    """What the budget needs to know of each row, `[B, H, Sq]` in the oracle's precision but for `repeats`. Rows without
    keys hold harmless values."""

    lse: Tensor
    """Natural logarithm of the sum of exponentials."""

    keys: Tensor
    """n, at least 1."""

    largest_logit: Tensor
    """max_j s_ij; where a sink has weight, the larger of its size and that of the sink's logit."""

    weight_square: Tensor
    """W = sum_j p_ij^2."""

    peak: Tensor
    """max_j p_ij."""

    weight_variance: Tensor
    """t_i^2: the variance of the relative error of a weight."""

    reference_variance: Tensor
    """What the logits of the reference itself add to t_i^2, which has no more precision than those of a kernel."""

    logit_square: Tensor
    """s^2: the mean square of the logits under p^2."""

    sink_weight: Tensor
    """p_z, 0 where there is no sink."""

    sink_variance: Tensor
    """t_z^2 p_z^2."""

    sink_rounding: Tensor
    """p_z |e_z|: what the row is off by, relative to it, where the sink's logit is rounded."""

    common_variance: Tensor
    """(c u_o)^2 Y: the variance of an error that all logits of a row have in common."""

    repeats: Tensor
    """r `[B, H]`: by how much the variance of summed roundings grows because weights of a row are equal."""

    lost_weight: Tensor
    """e: what the sum of weights may lose, relative to it, beside one key that dominates it."""

    @property
    def shared(self) -> Tensor:
        """r for every row, `[B, H, 1]`."""
        return self.repeats.unsqueeze(2)

    @property
    def reference_share(self) -> Tensor:
        """How much of t_i^2, of kernel and reference together, is that of the reference, `[B, H, Sq]`."""
        return self.reference_variance / (self.weight_variance + self.reference_variance)

    @staticmethod
    def of(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> ForwardRows:
        """From the reference's moments; where it has none, one key may carry the whole row."""
        dtype = reference.lse.dtype
        lse = torch.where(reference.empty_rows, 0.0, reference.lse)
        moments = reference.moments or Moments(torch.ones_like(lse), torch.ones_like(lse))
        weight_square, peak = (torch.where(w > 0, w, 1.0).to(dtype) for w in (moments.weight_square, moments.peak))
        keys = visible_keys(problem.mask, problem.lengths, problem.batch, problem.query_heads).clamp_min(1).to(dtype)
        largest = lse + peak.log()
        sink, sink_weight = _sink(problem, inputs, lse)
        # The keys share M = 1 - p_z: of them alone F(1) = lse + log M and W is that over M^2.
        mass = torch.maximum(1 - sink_weight, peak)
        mean, curvature = _logits(lse + mass.log(), keys, weight_square.log() - 2 * mass.log(), largest)
        logit_square = torch.maximum(mean.square() + curvature, _others_square(lse, keys, mass, peak))
        maximum = torch.where(sink_weight > 0, torch.maximum(largest, sink), largest)
        shifted = shifted_unit_square(numerics, problem)
        logits = LogitSquares.of(problem, moments, weight_square, logit_square)
        operand, query = OperandRounding.of(problem, numerics), LogitRoundings.of(problem, numerics).query
        products = LogitProducts.of(problem, inputs, reference, of_pairs=bool(operand.unit or query))
        weight_variance = _weight_variance(problem, products, numerics, logits)
        return ForwardRows(
            lse=lse,
            keys=keys,
            largest_logit=torch.where(sink_weight > 0, torch.maximum(largest.abs(), sink.abs()), largest),
            weight_square=weight_square,
            peak=peak,
            weight_variance=weight_variance
            + _operand_variance(products, operand, query, logit_square)
            + shifted * ((mean - maximum).square() + curvature),
            reference_variance=_reference_variance(problem, products, logits),
            logit_square=logit_square,
            sink_weight=sink_weight,
            sink_variance=_sink_variance(problem, numerics, sink, sink_weight)
            + shifted * ((sink - maximum) * sink_weight).square(),
            sink_rounding=_sink_error(problem, numerics, sink) * sink_weight,
            # ((c u_o)^2 + (c u_q)^2) Y
            common_variance=products.common.to(dtype) * (ROUNDING_SQUARE * (operand.unit**2 + query)),
            repeats=repeats(problem, inputs).to(dtype),
            lost_weight=lost_weight(
                (1 - torch.maximum(peak, sink_weight)).clamp_min(0.0),
                row_additions(numerics, problem, keys),
                unit_roundoff(precision(numerics.accumulator, problem)),
            ),
        )


def _others_square(lse: Tensor, keys: Tensor, mass: Tensor, peak: Tensor) -> Tensor:
    """x^2 of the keys beside one that has nearly all weight, x = lse + log of the mean weight left to each; 0 in other
    rows. Of such a row the mean under p^2 is the logit of that key, and its errors are those of the others."""
    left = (mass - peak).clamp_min(torch.finfo(peak.dtype).eps)
    other = lse + (left / (keys - 1).clamp_min(1)).log()
    return torch.where((peak > DOMINANT * mass) & (keys > 1), other.square(), 0.0)


def _sink(problem: Problem, inputs: Inputs, lse: Tensor) -> tuple[Tensor, Tensor]:
    """(logit z, weight p_z = exp(z - lse)) of each row's sink, both `[B, H, Sq]`; zeros where there is none."""
    found = sinks(problem, inputs)
    if found is None:
        return torch.zeros_like(lse), torch.zeros_like(lse)
    logit = found.to(lse.dtype).view(1, -1, 1).expand_as(lse)
    return logit, (logit - lse).exp().clamp_max(1.0)


def _sink_variance(problem: Problem, numerics: Numerics, sink: Tensor, sink_weight: Tensor) -> Tensor:
    """t_z^2 p_z^2 `[B, H, Sq]` with t_z^2 = (c u_a z)^2 + (e_exp / 2)^2."""
    logit_error = variance_of(numerics.accumulator, problem) * sink.square()
    return (logit_error + (exp_error(problem, numerics) / 2) ** 2) * sink_weight.square()


def _sink_error(problem: Problem, numerics: Numerics, sink: Tensor) -> Tensor:
    """|e_z| = |round(z) - z| `[B, H, Sq]`; zeros where the logit of the sink is kept."""
    if numerics.sinks is None:
        return torch.zeros_like(sink)
    return (sink.to(precision(numerics.sinks, problem)).to(sink.dtype) - sink).abs()


def _logits(lse: Tensor, keys: Tensor, log_weight_square: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, variance) of the logits under p^2, F'(2) and F''(2), `[B, H, Sq]`.

    From the parabola through F(0) = log n, F(1) = lse and F(2) = 2 lse + log W: F'' = F(2) - 2 F(1) + F(0) and F'(2) =
    F(2) - F(1) + F'' / 2, which no logit exceeds.
    """
    first_slope = lse - keys.log()
    second_slope = lse + log_weight_square
    curvature = (second_slope - first_slope).clamp_min(0.0)
    mean = torch.minimum(second_slope + curvature / 2, torch.maximum(second_slope, largest))
    return mean, curvature


def _weight_variance(problem: Problem, products: LogitProducts, numerics: Numerics, logits: LogitSquares) -> Tensor:
    """t_i^2 `[B, H, Sq]` without roundings of operands: the variance of the relative error of a weight.

    (c u_a)^2 sums + (c u_x)^2 x^2 + (c u_l)^2 s^2 + (e_exp / 2)^2 + (e_scale x)^2; where logits are changed (c u_a)^2 4
    (x^2 + D_i^2) + (c u_l)^2 x^2 + (e_tanh / 2)^2 s^2 is added.
    """
    accumulator = unit_roundoff(precision(numerics.accumulator, problem)) ** 2
    rounded = LogitRoundings.of(problem, numerics)
    roundoff = accumulator * _sums(problem, products, numerics, logits.before) + rounded.unchanged * logits.before
    if logits.change is not None:
        roundoff += accumulator * CHANGE_ROUNDINGS * (logits.before + logits.change) + rounded.stored * logits.after
    functions = (exp_error(problem, numerics) / 2) ** 2 + (tanh_error(problem, numerics) / 2) ** 2 * logits.after
    return roundoff * ROUNDING_SQUARE + functions + rounded.scale_error**2 * logits.before


def _reference_variance(problem: Problem, products: LogitProducts, logits: LogitSquares) -> Tensor:
    """What the sums of the reference's own logits add to t_i^2, where it keeps them no longer than the kernel does: of
    half types, (c u)^2 sums of float32; 0 of others, whose reference has float64 or a budget of its own."""
    if problem.oracle_dtype != torch.float32:
        return torch.zeros_like(logits.after)
    return _sums(problem, products, Numerics(), logits.before) * variance_of("float32", problem)


def _sums(problem: Problem, products: LogitProducts, numerics: Numerics, logit_square: Tensor) -> Tensor:
    """Squared roundings of query . key: walk(D) / 3 R + X + (steady(D) + 1) x^2, X only where products are rounded."""
    terms = torch.tensor(float(problem.head_dim), dtype=logit_square.dtype)
    walk, steady = roundings(terms, longest_chain(numerics, problem, terms))
    sums = walk / 3 * products.partial_sums.to(logit_square.dtype) + (steady + 1) * logit_square
    return sums + products.squares.to(sums.dtype) if rounds_products(problem, numerics) else sums


def _operand_variance(products: LogitProducts, operand: OperandRounding, query: float, logit_square: Tensor) -> Tensor:
    """What rounded operands add to t_i^2 `[B, H, Sq]`: (2 (c u_o)^2 + (c u_q)^2) X + (2 m)^2 s^2; zeros where they keep
    all bits."""
    rounding = products.squares.to(logit_square.dtype) * (ROUNDING_SQUARE * (2 * operand.unit**2 + query))
    return rounding + (2 * operand.mean) ** 2 * logit_square
