"""The budget: the error that a correct kernel of given numerics can show on a problem, derived from rounding.

Notation: u is the unit roundoff of a precision (2^-8 bfloat16, 2^-11 float16, 2^-24 float32, 2^-53 float64), c =
ROUNDING_RMS, p_ij the probabilities of row i, s_ij its scaled logits, n its keys, A = sum_j p_ij^2 v_jd^2, W = sum_j
p_ij^2.

**Variance.** Independent roundings add in the mean square:

    var[i, d] = (c u_p)^2 r A                        probabilities rounded to the precision u_p
              + r t_i^2 spread                       logits off by t_i shift weight between values
              + (c u_a)^2 (walk(n) A + steady(n) out^2)    sums kept in the accumulator's precision
              + (c u_a)^2 (walk(n) W + steady(n)) out^2    the sum of weights, which divides the output
              + (c u_s)^2 (walk A + steady out^2)    the running output rounded once per tile, where that is declared
              + (c u)^2 out^2                        the result rounded once

- A sum of n terms, added in chains of L whose results are added in turn, passes (L + n / L) / 2 roundings as large as
  its random part, and of its steady part steady(n) = L^2 / (3 n) + n / (3 L). A kernel declares the largest L, and
  another for the sum of weights; the blocks of BLAS libraries are shorter, and many short chains may be worse than few
  long ones or better, so the larger value of L and L / 4 counts.
- t_i^2 collects the roundings of query . key (partial sums of a bridge: walk / 3 of their random part, steady of the
  logit itself), of the stored logit and of the exponential's argument, and the error of the exponential. It acts on the
  logits that carry the weight: with F(b) = log sum_j exp(b s_ij), their mean under p^2 is F'(2) and their variance
  F''(2), both taken from the parabola through F(0) = log n, F(1) = lse and F(2) = 2 lse + log W.
- spread = sum_j p_j^2 (v_j - out)^2 is at most A + out^2 W, and, where one key carries nearly all, at most
  8 (1 - peak)^2 max_j v_j^2.
- r: equal logits make equal errors (`judge/budget/repeats.py`). Weights that are all equal are 1 before they are
  divided, and 1 needs no rounding.
- Weights that are divided first and lie just below 1 all become 1: the mean rounding error of the largest weights of
  the rows, which the reference knows, is a systematic error of the output.
- Where the keys beside the first have less than one spacing of the result between them, it is rounded to that key's
  value: the mean error of it, which the reference knows, is systematic (`pytest_attn.judge.budget.dominated_sums`).
- Operands that are rounded to TF32: `pytest_attn.judge.budget.operands`.
- Splits that are merged through their LSE add 2 (c u lse)^2 out^2, u that of float32, or of float64 inputs.
- Half types add the spacing of their subnormals; weights of a narrower range than that of float32, which float16 and
  types of 8 bits have, are multiples of it where they are subnormal: of 2^-24 of the largest below 2^-14 in float16
  (of 1 where they are divided first).

For the log-sum-exp, whose logit errors average over the keys,

    var[i] = r t_i^2 W + (c u_a)^2 (lse^2 + max^2 + steady(n)), shifted at most by the bias of the exponential.

**Variants.** Where logits are changed, s = change(x) with |change(a) - change(b)| <= |a - b|, so an error of x is at
most as large in s. Under p^2 let D_i^2 = sum_j p_ij^2 (s_ij - x_ij)^2 / W; then the RMS of x is at most that of s plus
D_i, so t_i^2 has steady of (|s| + D_i)^2 for the sums, and gains

    (c u_a)^2 4 ((|s| + D_i)^2 + D_i^2)    units, the change and its sum with x, in the kernel and in the reference
    + (c u_l)^2 (|s| + D_i)^2              x stored before it is changed, where logits are stored
    + (e_tanh / 2)^2 s^2                   the tangent of capped logits is off by e_tanh of itself; it shifts the LSE.

A sink of logit z has the weight p_z = exp(z - lse) and no value: the keys share M = 1 - p_z, and F(1) = lse + log M.
Its own weight is off by t_z^2 = (c u_a z)^2 + (e_exp / 2)^2, which adds t_z^2 p_z^2 out^2 to var and t_z^2 p_z^2 to
that of the LSE, where z may be the maximum.

**Bound.** Where few keys carry a row its errors share their cause and are not normal. Rounding to nearest is never off
by more than u, so what is rounded to the precision of the probabilities and of the result is off by at most

    bound[i, d] = u_p sum_j p_j |v_j| + u |out| (+ the quanta above, halved),

with sum_j p_j |v_j| at most sqrt(n A) and at most max_j |v_j|. An element may be off by the smaller of K sigma and
bound + K sigma', where sigma' leaves out what the bound covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.judge.budget.budget import Budget, LseBudget, OutBudget
from pytest_attn.judge.budget.chains import longest_chain, roundings, row_roundings
from pytest_attn.judge.budget.dominated_sums import is_dominated, mean_rounding
from pytest_attn.judge.budget.operands import OperandRounding, alike_values, logit_operands
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


def budget(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Budget:
    """The budget of a kernel of these numerics on this problem; see the module's docstring for the derivation."""
    rows = Rows.of(problem, inputs, reference, numerics)
    return Budget(
        _out(problem, inputs, reference, numerics, rows) if problem.wants_out else None,
        _lse(problem, numerics, rows) if problem.wants_lse else None,
        rows.repeats,
    )


@dataclass(frozen=True, eq=False)
class Rows:
    """What the budget needs of each row: `lse`, `keys` n, `largest` logit, `weight_square` W, `peak`, `weight_variance`
    t_i^2, `logit_square` s^2, `sink_weight` p_z, `sink_variance` t_z^2 p_z^2 and `common_variance`, of all logits of a
    row at once, all `[B, H, Sq]` in the oracle's precision; `repeats` r `[B, H]`. Rows without keys hold harmless
    values."""

    lse: Tensor
    keys: Tensor
    largest: Tensor
    weight_square: Tensor
    peak: Tensor
    weight_variance: Tensor
    logit_square: Tensor
    sink_weight: Tensor
    sink_variance: Tensor
    common_variance: Tensor
    repeats: Tensor

    @property
    def shared(self) -> Tensor:
        """r for every row, `[B, H, 1]`."""
        return self.repeats.unsqueeze(2)

    @staticmethod
    def of(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Rows:
        """From the reference's moments; where it has none, one key may carry the whole row."""
        dtype = reference.lse.dtype
        lse = torch.where(reference.empty_rows, 0.0, reference.lse)
        moments = reference.moments or Moments(torch.ones_like(lse), torch.ones_like(lse))
        weight_square, peak = (torch.where(w > 0, w, 1.0).to(dtype) for w in (moments.weight_square, moments.peak))
        heads = (problem.batch, problem.query_heads)
        keys = visible_keys(problem.mask, problem.lengths, *heads).clamp_min(1).to(dtype)
        largest = lse + peak.log()
        sink, sink_weight = _sink(problem, inputs, lse)
        mass = torch.maximum(1 - sink_weight, peak)
        logit_square = _logit_square(lse + mass.log(), keys, weight_square / mass.square(), largest)
        change_square = None if moments.change_square is None else moments.change_square / weight_square
        variance = _weight_variance(problem, inputs, numerics, logit_square, change_square)
        operand, common = OperandRounding.of(problem, numerics), torch.zeros_like(lse)
        if operand.unit:
            independent, common = (found.to(dtype) for found in logit_operands(problem, inputs, reference))
            common *= ROUNDING_SQUARE * operand.unit**2
            variance += 2 * ROUNDING_SQUARE * operand.unit**2 * independent + (2 * operand.mean) ** 2 * logit_square
        own = variance_of(numerics.accumulator, problem) * sink.square() + (exp_error(problem, numerics) / 2) ** 2
        return Rows(
            lse=lse,
            keys=keys,
            largest=torch.where(sink_weight > 0, torch.maximum(largest.abs(), sink.abs()), largest),
            weight_square=weight_square,
            peak=peak,
            weight_variance=variance,
            logit_square=logit_square,
            sink_weight=sink_weight,
            sink_variance=own * sink_weight.square(),
            common_variance=common,
            repeats=repeats(problem, inputs).to(dtype),
        )


def _sink(problem: Problem, inputs: Inputs, lse: Tensor) -> tuple[Tensor, Tensor]:
    """(logit z, weight p_z) of each row's sink, both `[B, H, Sq]`; zeros where there is none."""
    found = sinks(problem, inputs)
    if found is None:
        return torch.zeros_like(lse), torch.zeros_like(lse)
    logit = found.to(lse.dtype).view(1, -1, 1).expand_as(lse)
    return logit, (logit - lse).exp().clamp_max(1.0)


def _logit_square(lse: Tensor, keys: Tensor, weight_square: Tensor, largest: Tensor) -> Tensor:
    """Mean square of the logits that carry a row's weight, under p^2."""
    first = lse - keys.log()
    second = lse + weight_square.log()
    curvature = (second - first).clamp_min(0.0)
    mean = torch.minimum(second + curvature / 2, torch.maximum(second, largest))
    return mean.square() + curvature


def _weight_variance(
    problem: Problem, inputs: Inputs, numerics: Numerics, logit_square: Tensor, change_square: Tensor | None
) -> Tensor:
    """t_i^2 `[B, H, Sq]`: variance of the relative error of a weight."""
    accumulator = unit_roundoff(precision(numerics.accumulator, problem)) ** 2
    stored = unit_roundoff(precision(numerics.logits, problem)) ** 2
    terms = torch.tensor(float(problem.head_dim), dtype=logit_square.dtype)
    walk, steady = roundings(terms, longest_chain(numerics, problem, terms))
    query_square = inputs.query.cpu().to(problem.sum_dtype).square().sum(dim=3)
    key_square = inputs.key.cpu().to(problem.sum_dtype).square().sum(dim=3).mean(dim=2, keepdim=True)
    # The partial sums of a dot product of unrelated vectors walk at random; this is their final mean square.
    random = query_square * key_square.repeat_interleave(problem.group, dim=1) * (problem.scale**2 / problem.head_dim)
    before = logit_square if change_square is None else (logit_square.sqrt() + change_square.sqrt()).square()
    variance = accumulator * (walk / 3 * random.to(logit_square.dtype) + (steady + 1) * before)
    variance += stored * logit_square
    if change_square is not None:
        variance += accumulator * CHANGE_ROUNDINGS * (before + change_square) + stored * before
    tangent = (tanh_error(problem, numerics) / 2) ** 2 * logit_square
    return variance * ROUNDING_SQUARE + (exp_error(problem, numerics) / 2) ** 2 + tangent


def _out(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics, rows: Rows) -> OutBudget:
    assert reference.out is not None
    assert reference.moments is not None
    assert reference.moments.value_square is not None
    square = reference.moments.value_square.to(reference.out.dtype)
    out_square = reference.out.square()
    value = inputs.value.cpu().to(out_square.dtype)
    largest = value.abs().amax(dim=2, keepdim=True).repeat_interleave(problem.group, dim=1)
    result = unit_roundoff(problem.dtype)
    rounded = _rounded_probabilities(problem, numerics, rows)
    grid = float(torch.finfo(problem.dtype).smallest_normal * torch.finfo(problem.dtype).eps)

    rest = _accumulation(numerics, problem, rows, square, out_square) + _shifted_weight(
        rows, square, out_square, largest
    )
    operand = OperandRounding.of(problem, numerics)
    rest = rest + out_square * (rows.sink_variance.unsqueeze(3) + (2 * operand.mean) ** 2)
    sigma = rest + square * (ROUNDING_SQUARE * rows.shared * rounded.square()).unsqueeze(3)
    if operand.unit:
        sigma += square * (ROUNDING_SQUARE * operand.unit**2 * alike_values(problem, inputs)[..., None, None])
    sigma += out_square * (ROUNDING_SQUARE * result**2) + grid**2 / 12
    mean_value = torch.minimum((square * rows.keys.unsqueeze(3)).sqrt_(), largest)
    bound = (rounded.unsqueeze(3) + operand.unit) * mean_value + result * reference.out.abs() + grid / 2
    weights = torch.finfo(precision(numerics.probabilities, problem))
    if weights.smallest_normal > torch.finfo(torch.float32).smallest_normal:
        top = torch.ones_like(rows.peak) if numerics.normalized else torch.maximum(rows.peak, rows.sink_weight)
        quantum = top.unsqueeze(3) * (weights.smallest_normal * weights.eps)
        sums = value.square().sum(dim=2, keepdim=True).repeat_interleave(problem.group, dim=1)
        sigma += rows.shared.unsqueeze(3) * quantum.square() * sums / 12
        bound += quantum / 2 * value.abs().sum(dim=2, keepdim=True).repeat_interleave(problem.group, dim=1)
    # A zero would make 0 / 0 of a row that is exactly right, and smaller numbers have no square in the oracle's dtype.
    tiny = max(torch.finfo(torch.float32).tiny, torch.finfo(sigma.dtype).tiny ** 0.5)
    systematic = exp_error(problem, numerics) + tanh_error(problem, numerics) + result**2 + float(rounded.max()) ** 2
    systematic += 2 * operand.mean * (1 + float(rows.logit_square.sqrt().mean())) + operand.unit**2
    if numerics.normalized:
        stored = rows.peak.to(precision(numerics.probabilities, problem)).to(rows.peak.dtype)
        systematic += abs(float((stored - rows.peak).mean()))
    if numerics.split:
        # The LSE of a part and the merged one are both rounded, and alike in rows that are alike.
        systematic += 2 * unit_roundoff(problem.sum_dtype) * float(rows.lse.abs().max())
    sigma = sigma.sqrt_().clamp_min_(tiny)
    leading, out = is_dominated(1 - rows.peak, problem.dtype), reference.out
    systematic += mean_rounding(out, out, leading, sigma, problem.dtype)
    return OutBudget(sigma, rest.sqrt_(), bound.clamp_min_(tiny), systematic)


def _rounded_probabilities(problem: Problem, numerics: Numerics, rows: Rows) -> Tensor:
    """u_p of each row `[B, H, Sq]`; 0 where all weights are 1 before they are divided."""
    unit = unit_roundoff(precision(numerics.probabilities, problem))
    rounded = torch.full_like(rows.peak, OperandRounding.of_weights(numerics, unit))
    if not numerics.normalized and not bool(rows.sink_weight.any()):
        rounded[rows.peak * rows.keys < 1 + 1e-6] = 0.0
    return rounded


def _accumulation(numerics: Numerics, problem: Problem, rows: Rows, square: Tensor, out_square: Tensor) -> Tensor:
    """Variance from the sums of values, from storing the running output once per tile, and from merging splits."""
    accumulator = variance_of(numerics.accumulator, problem)
    walk, steady = roundings(rows.keys, longest_chain(numerics, problem, rows.keys))
    row_walk, row_steady = row_roundings(numerics, problem, rows.keys)
    by_square, by_out = accumulator * walk, accumulator * (steady + row_steady + row_walk * rows.weight_square)
    if numerics.stored_accumulator is not None:
        stored = variance_of(numerics.stored_accumulator, problem)
        tiles = (rows.keys / numerics.tile).ceil()
        walk, steady = roundings(tiles, tiles)
        by_square, by_out = by_square + stored * walk, by_out + stored * (steady + 1)
    if numerics.split:
        by_out = by_out + 2 * variance_of(None, problem) * rows.lse.square()
    return square * by_square.unsqueeze(3) + out_square * by_out.unsqueeze(3)


def _shifted_weight(rows: Rows, square: Tensor, out_square: Tensor, largest: Tensor) -> Tensor:
    """Variance from weights that are off by t_i."""
    spread = square + out_square * rows.weight_square.unsqueeze(3)
    alone = 8 * (1 - rows.peak).square().unsqueeze(3) * largest.square()
    return torch.minimum(spread, alone) * (rows.shared * rows.weight_variance).unsqueeze(3)


def _lse(problem: Problem, numerics: Numerics, rows: Rows) -> LseBudget:
    accumulator = unit_roundoff(precision(numerics.accumulator, problem)) ** 2
    _, steady = row_roundings(numerics, problem, rows.keys)
    variance = ROUNDING_SQUARE * (unit_roundoff(problem.sum_dtype) ** 2 * rows.lse.square())
    variance += ROUNDING_SQUARE * accumulator * (rows.largest.square() + steady)
    variance += rows.shared * rows.weight_variance * rows.weight_square + rows.sink_variance + rows.common_variance
    # The reference of a half type is float32 as well, and rounds as much again.
    sides = 2 if problem.oracle_dtype == torch.float32 else 1
    shift = exp_error(problem, numerics) + tanh_error(problem, numerics) * float(rows.logit_square.max()) ** 0.5
    shift += 2 * OperandRounding.of(problem, numerics).mean * float(rows.logit_square.max()) ** 0.5
    return LseBudget((sides * variance).sqrt_(), shift)
