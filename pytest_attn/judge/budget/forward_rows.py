"""Rows of queries in a forward pass: what carries each, and how far its weights may be off.

The derivation is the docstring of `pytest_attn.judge.budget.rounding`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.judge.budget.chains import longest_chain, roundings
from pytest_attn.judge.budget.logit_roundings import LogitRoundings, shifted_unit_square
from pytest_attn.judge.budget.operands import OperandRounding, logit_operands
from pytest_attn.judge.budget.precision import (
    ROUNDING_SQUARE,
    exp_error,
    precision,
    tanh_error,
    unit_roundoff,
    variance_of,
)
from pytest_attn.judge.budget.repeats import repeats
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import sinks
from pytest_attn.problem.masks import visible_keys
from pytest_attn.problem.problem import Problem

CHANGE_ROUNDINGS = 4
"""Roundings of a logit that is changed, of kernel and reference together."""


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

    @property
    def shared(self) -> Tensor:
        """r for every row, `[B, H, 1]`."""
        return self.repeats.unsqueeze(2)

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
        mean, curvature = _logits(lse + mass.log(), keys, weight_square / mass.square(), largest)
        logit_square = mean.square() + curvature
        maximum = torch.where(sink_weight > 0, torch.maximum(largest, sink), largest)
        shifted = shifted_unit_square(numerics, problem)
        change_square = None if moments.change_square is None else moments.change_square / weight_square
        operand_variance, common_variance = _operand_variances(problem, inputs, reference, numerics, logit_square)
        return ForwardRows(
            lse=lse,
            keys=keys,
            largest_logit=torch.where(sink_weight > 0, torch.maximum(largest.abs(), sink.abs()), largest),
            weight_square=weight_square,
            peak=peak,
            weight_variance=_weight_variance(problem, inputs, numerics, logit_square, change_square)
            + operand_variance
            + shifted * ((mean - maximum).square() + curvature),
            logit_square=logit_square,
            sink_weight=sink_weight,
            sink_variance=_sink_variance(problem, numerics, sink, sink_weight)
            + shifted * ((sink - maximum) * sink_weight).square(),
            sink_rounding=_sink_error(problem, numerics, sink) * sink_weight,
            common_variance=common_variance,
            repeats=repeats(problem, inputs).to(dtype),
        )


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


def _logits(lse: Tensor, keys: Tensor, weight_square: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, variance) of the logits under p^2, F'(2) and F''(2), `[B, H, Sq]`.

    From the parabola through F(0) = log n, F(1) = lse and F(2) = 2 lse + log W: F'' = F(2) - 2 F(1) + F(0) and F'(2) =
    F(2) - F(1) + F'' / 2, which no logit exceeds.
    """
    first_slope = lse - keys.log()
    second_slope = lse + weight_square.log()
    curvature = (second_slope - first_slope).clamp_min(0.0)
    mean = torch.minimum(second_slope + curvature / 2, torch.maximum(second_slope, largest))
    return mean, curvature


def _weight_variance(
    problem: Problem, inputs: Inputs, numerics: Numerics, logit_square: Tensor, change_square: Tensor | None
) -> Tensor:
    """t_i^2 `[B, H, Sq]` without roundings of operands: the variance of the relative error of a weight.

    (c u_a)^2 (walk(D) / 3 |q|^2 |k|^2 scale^2 / D + (steady(D) + 1) x^2) + (c u_x)^2 x^2 + (c u_l)^2 s^2
    + (e_exp / 2)^2 + (e_scale x)^2, with x = s; where logits are changed x = |s| + D_i, and (c u_a)^2 4 (x^2 + D_i^2)
    + (c u_l)^2 x^2 + (e_tanh / 2)^2 s^2 is added.
    """
    accumulator = unit_roundoff(precision(numerics.accumulator, problem)) ** 2
    logits = LogitRoundings.of(problem, numerics)
    terms = torch.tensor(float(problem.head_dim), dtype=logit_square.dtype)
    walk, steady = roundings(terms, longest_chain(numerics, problem, terms))
    before = logit_square if change_square is None else (logit_square.sqrt() + change_square.sqrt()).square()
    partial_sums = walk / 3 * _unrelated_logit_square(problem, inputs).to(logit_square.dtype)
    roundoff = accumulator * (partial_sums + (steady + 1) * before) + logits.unchanged * before
    if change_square is not None:
        roundoff += accumulator * CHANGE_ROUNDINGS * (before + change_square) + logits.stored * logit_square
    functions = (exp_error(problem, numerics) / 2) ** 2 + (tanh_error(problem, numerics) / 2) ** 2 * logit_square
    return roundoff * ROUNDING_SQUARE + functions + logits.scale_error**2 * before


def _unrelated_logit_square(problem: Problem, inputs: Inputs) -> Tensor:
    """|q|^2 mean(|k|^2) scale^2 / D `[B, H, Sq]`: the mean square of the logits if query and keys were unrelated, which
    is what the partial sums of a dot product walk to at random."""
    query_square = inputs.query.cpu().to(problem.sum_dtype).square().sum(dim=3)
    key_square = inputs.key.cpu().to(problem.sum_dtype).square().sum(dim=3).mean(dim=2, keepdim=True)
    return query_square * key_square.repeat_interleave(problem.group, dim=1) * (problem.scale**2 / problem.head_dim)


def _operand_variances(
    problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics, logit_square: Tensor
) -> tuple[Tensor, Tensor]:
    """What rounded operands add to t_i^2, (2 (c u_o)^2 + (c u_q)^2) X + (2 m)^2 s^2, and what all logits of a row have
    in common, ((c u_o)^2 + (c u_q)^2) Y, both `[B, H, Sq]`; zeros where operands keep all bits."""
    operand, dtype = OperandRounding.of(problem, numerics), logit_square.dtype
    query = LogitRoundings.of(problem, numerics).query
    if not operand.unit and not query:
        return torch.zeros_like(logit_square), torch.zeros_like(logit_square)
    independent, common = (found.to(dtype) for found in logit_operands(problem, inputs, reference))
    rounding = ROUNDING_SQUARE * (2 * operand.unit**2 + query) * independent
    return rounding + (2 * operand.mean) ** 2 * logit_square, common * (ROUNDING_SQUARE * (operand.unit**2 + query))
