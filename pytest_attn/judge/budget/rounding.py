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
- t_i^2 collects the roundings of query . key (partial sums: walk / 3 of their random part R, steady of the logit
  itself, `pytest_attn.judge.budget.partial_sums`; of products that are not exact, sum_d (scale q_d k_d)^2), of the
  stored logit and of the exponential's argument, and the error of the exponential. The reference of half types sums
  logits in float32 as well, and its sums count beside those of the kernel. It acts on the
  logits that carry the weight: with F(b) = log sum_j exp(b s_ij), their mean under p^2 is F'(2) and their variance
  F''(2), both taken from the parabola through F(0) = log n, F(1) = lse and F(2) = 2 lse + log W.
- spread = sum_j p_j^2 (v_j - out)^2 is at most A + out^2 W, and, where one key carries nearly all, at most
  8 (1 - peak)^2 max_j v_j^2 (LONE_KEY).
- r: equal logits make equal errors (`judge/budget/repeats.py`). Weights that are all equal are 1 before they are
  divided, and 1 needs no rounding.
- Weights that are divided first and lie just below 1 all become 1: the mean rounding error of the largest weights of
  the rows, which the reference knows, is a systematic error of the output.
- Where the keys beside the first have less than one spacing of the result between them, it is rounded to that key's
  value: the mean error of it, which the reference knows, is systematic (`pytest_attn.judge.budget.dominated_sums`).
- Beside such a key, additions of less than a spacing to the sum of weights are lost, up to e = min(1 - peak, N u_a) of
  it in N additions, all of one sign: e^2 out^2, the mean of e is systematic, and e^2 of the LSE.
- Operands that are rounded to TF32: `pytest_attn.judge.budget.operands`. A scale that is rounded, a query that is
  rounded with it, and products that are stored before they are scaled: `pytest_attn.judge.budget.logit_roundings`.
- Values that are rounded to u_v add (c u_v)^2 r_v A, with r_v equal values alike, and u_v sum_j p_j |v_j| to the bound.
- Splits that are merged through their LSE add 2 (c u lse)^2 out^2, u that of float32, or of float64 inputs. A part
  that is stored in u_m first is x_c of sum_c x_c = out; sum_c x_c^2 is that of random terms and of equal shares,
  r_v A + out^2, and u_m sum_j p_j |v_j| bounds what they come to.
- Half types add the spacing of their subnormals; weights of a narrower range than that of float32, which float16 and
  types of 8 bits have, are multiples of it where they are subnormal: of 2^-24 of the largest below 2^-14 in float16
  (of 1 where they are divided first).

For the log-sum-exp, whose logit errors average over the keys,

    var[i] = r t_i^2 W + (c u_a)^2 (lse^2 + max^2 + steady(n)), shifted at most by the bias of the exponential.

An LSE that is rounded to u_e before it is returned is off by at most u_e |lse|.

**Variants.** Where logits are changed, s = change(x) with |change(a) - change(b)| <= |a - b|, so an error of x is at
most as large in s. Under p^2 let D_i^2 = sum_j p_ij^2 (s_ij - x_ij)^2 / W; then the RMS of x is at most that of s plus
D_i, so t_i^2 has steady of (|s| + D_i)^2 for the sums, and gains

    (c u_a)^2 4 ((|s| + D_i)^2 + D_i^2)    units, the change and its sum with x, in the kernel and in the reference
    + (c u_l)^2 (|s| + D_i)^2              x stored before it is changed, where logits are stored
    + (e_tanh / 2)^2 s^2                   the tangent of capped logits is off by e_tanh of itself; it shifts the LSE.

Where such a function is flat, errors of x hardly reach s: far beyond a cap the oracle measures the mean square of x
ds/dx under p^2, which stands for (|s| + D_i)^2, pairs count in R and X by (ds/dx)^2, and D_i is at most |s| + cap.

A sink of logit z has the weight p_z = exp(z - lse) and no value: the keys share M = 1 - p_z, and F(1) = lse + log M.
Its own weight is off by t_z^2 = (c u_a z)^2 + (e_exp / 2)^2, which adds t_z^2 p_z^2 out^2 to var and t_z^2 p_z^2 to
that of the LSE, where z may be the maximum. A z that is rounded is off by e_z, which is known: so is all of the row,
by p_z e_z out, and its LSE by p_z e_z.

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
from pytest_attn.judge.budget.forward_rows import ForwardRows
from pytest_attn.judge.budget.logit_roundings import LogitRoundings
from pytest_attn.judge.budget.noisy_truth import mean_of_noise
from pytest_attn.judge.budget.operands import OperandRounding, alike_values
from pytest_attn.judge.budget.precision import (
    ROUNDING_SQUARE,
    exp_error,
    precision,
    smallest_spacing,
    split_unit,
    stored_lse_unit,
    tanh_error,
    unit_roundoff,
    values_unit,
    variance_of,
)
from pytest_attn.judge.calibration import CHANGE_ROUNDINGS
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

LONE_KEY = 8
"""sum_j p_j^2 (v_j - out)^2 is at most so many times (1 - peak)^2 max_j v_j^2: the value of the first key lies at most
2 (1 - peak) max |v| from the output, which is 4 of them; the others weigh 1 - peak together and lie at most 2 max |v|
from it, which is 4 more. Derived: it is reached where the peak is nearly 1."""

LEAST_SQUARE = 2.0**-100
"""Sums of squares that are smaller have lost digits in float32, or all of them."""

FAR = -8.0
"""Logits below which the weight of a key is far below that of others."""


def budget(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Budget:
    """The budget of a kernel of these numerics on this problem; see the module's docstring for the derivation."""
    rows = ForwardRows.of(problem, inputs, reference, numerics)
    return Budget(
        _out(problem, inputs, reference, numerics, rows) if problem.wants_out else None,
        _lse(problem, numerics, rows) if problem.wants_lse else None,
        rows.repeats,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Output:
    """The exact output and sums over the values that it averages, in the oracle's precision.

    `exact`, its `square` and `value_square` A are `[B, H, Sq, Dv]`; `largest_value` max_j |v_j|, `sum_square` sum_j
    v_j^2 and `sum_size` sum_j |v_j|, of all keys, are `[B, H, 1, Dv]`.
    """

    exact: Tensor
    square: Tensor
    value_square: Tensor
    largest_value: Tensor
    sum_square: Tensor
    sum_size: Tensor

    @staticmethod
    def of(problem: Problem, inputs: Inputs, reference: Reference) -> _Output:
        """The output of a reference that has one, and its moments."""
        assert reference.out is not None
        assert reference.moments is not None
        assert reference.moments.value_square is not None
        value = inputs.value.cpu().to(reference.out.dtype)
        largest, square, size = (
            by_key_head.repeat_interleave(problem.group, dim=1)
            for by_key_head in (
                value.abs().amax(dim=2, keepdim=True),
                value.square().sum(dim=2, keepdim=True),
                value.abs().sum(dim=2, keepdim=True),
            )
        )
        known = reference.moments.value_square.to(reference.out.dtype)
        # A of a row whose sink leaves its keys next to nothing is lost in the moments, which are of 8 bits of exponent.
        most = reference.moments.weight_square.to(known.dtype).unsqueeze(3) * largest.square()
        return _Output(
            exact=reference.out,
            square=reference.out.square(),
            value_square=torch.where(most < LEAST_SQUARE, most, known),
            largest_value=largest,
            sum_square=square,
            sum_size=size,
        )


def _out(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics, rows: ForwardRows) -> OutBudget:
    """The budget of the output, `[B, H, Sq, Dv]`: its variance is rest + weights + operands + result + subnormal."""
    out = _Output.of(problem, inputs, reference)
    weight_unit, operand = _weight_unit(problem, numerics, rows), OperandRounding.of(problem, numerics)
    unit, grid = unit_roundoff(problem.dtype), smallest_spacing(problem.dtype)
    subnormal = _subnormal_spacing(problem, numerics, rows)

    # r t^2 spread, the sums, (t_z^2 + e_z^2) p_z^2 out^2, (2 m)^2 out^2 and e^2 out^2
    shifted, sums = _shifted_weight(rows, out), _accumulation(problem, numerics, rows, out)
    of_row = rows.sink_variance + rows.sink_rounding.square() + rows.lost_weight.square()
    rest = sums + shifted + out.square * (of_row.unsqueeze(3) + (2 * operand.mean) ** 2)
    rest += _far_weights(problem, numerics, rows, out)
    # (c u_p)^2 r A
    variance = rest + out.value_square * (ROUNDING_SQUARE * rows.shared * weight_unit.square()).unsqueeze(3)
    of_values, parts = operand.unit**2 + values_unit(problem, numerics) ** 2, split_unit(problem, numerics)
    if of_values or parts:
        # (c u_o)^2 r_v A + (c u_v)^2 r_v A + (c u_m)^2 (r_v A + out^2)
        repeats = alike_values(problem, inputs)[..., None, None]
        variance += out.value_square * (ROUNDING_SQUARE * (of_values + parts**2) * repeats)
        variance += out.square * (ROUNDING_SQUARE * parts**2)
    # (c u)^2 out^2 + grid^2 / 12
    variance += out.square * (ROUNDING_SQUARE * unit**2) + grid**2 / 12
    # (u_p + u_o + u_v + u_m) sum p |v| + u |out| + grid / 2, where sum p |v| <= min(sqrt(n A), max |v|)
    size = torch.minimum((out.value_square * rows.keys.unsqueeze(3)).sqrt(), out.largest_value)
    operands = operand.unit + values_unit(problem, numerics) + parts
    bound = (weight_unit.unsqueeze(3) + operands) * size + unit * out.exact.abs() + grid / 2
    if subnormal is not None:
        # r spacing^2 / 12 sum v^2, and spacing / 2 sum |v|
        variance += rows.shared.unsqueeze(3) * subnormal.square() * out.sum_square / 12
        bound += subnormal / 2 * out.sum_size
    # A zero would make 0 / 0 of a row that is exactly right, and smaller numbers have no square in the oracle's dtype.
    tiny = max(torch.finfo(torch.float32).tiny, torch.finfo(variance.dtype).tiny ** 0.5)
    sigma = variance.sqrt_().clamp_min_(tiny)
    systematic = _systematic(problem, numerics, rows, float(weight_unit.max()))
    dominated = is_dominated(1 - rows.peak, problem.dtype)
    systematic += mean_rounding(out.exact, out.exact, dominated, sigma, problem.dtype)
    systematic += mean_of_noise(out.exact, shifted.mul_(rows.reference_share.unsqueeze(3)), sigma)
    size = out.exact.abs() / sigma
    systematic += float((size * rows.lost_weight.unsqueeze(3)).sum()) / max(float(size.sum()), 1e-300)
    return OutBudget(sigma, rest.sqrt_(), bound.clamp_min_(tiny), systematic)


def _far_weights(problem: Problem, numerics: Numerics, rows: ForwardRows, out: _Output) -> Tensor:
    """Variance of elements to which only keys far below the others come: (c u_a)^2 (steady(D) + 1) x^2 out^2, and
    CHANGE_ROUNDINGS 2 x^2 of changed logits, of a key with the weight |out| / max |v| and so the logit x = lse + log of
    it. The mean under p^2 that t_i has knows nothing of such logits."""
    logit = rows.lse.unsqueeze(3) + (out.exact.abs() / out.largest_value.clamp_min(1e-300)).log()
    terms = torch.tensor(float(problem.head_dim), dtype=logit.dtype)
    _, steady = roundings(terms, longest_chain(numerics, problem, terms))
    count = steady + 1 + (2 * CHANGE_ROUNDINGS if problem.changes_logits else 0.0)
    far = torch.where((logit < FAR) & logit.isfinite(), logit.square(), 0.0)
    return variance_of(numerics.accumulator, problem) * count * far * out.square


def _weight_unit(problem: Problem, numerics: Numerics, rows: ForwardRows) -> Tensor:
    """u_p of each row `[B, H, Sq]`; 0 where all weights are 1 before they are divided."""
    unit = unit_roundoff(precision(numerics.probabilities, problem))
    rounded = torch.full_like(rows.peak, OperandRounding.of_weights(numerics, unit))
    if not numerics.normalized and not bool(rows.sink_weight.any()):
        rounded[rows.peak * rows.keys < 1 + 1e-6] = 0.0
    return rounded


def _subnormal_spacing(problem: Problem, numerics: Numerics, rows: ForwardRows) -> Tensor | None:
    """Of what the small weights of a row are multiples, relative to their sum, `[B, H, Sq, 1]`: the spacing of
    subnormals, 2^-24 in float16, times the largest weight, or times 1 where weights are divided first. None where their
    range is that of float32."""
    weights = torch.finfo(precision(numerics.probabilities, problem))
    if weights.smallest_normal <= torch.finfo(torch.float32).smallest_normal:
        return None
    largest = torch.ones_like(rows.peak) if numerics.normalized else torch.maximum(rows.peak, rows.sink_weight)
    return largest.unsqueeze(3) * (weights.smallest_normal * weights.eps)


def _accumulation(problem: Problem, numerics: Numerics, rows: ForwardRows, out: _Output) -> Tensor:
    """Variance from sums, from storing the running output once per tile, and from merging splits.

    (c u_a)^2 (walk(n) A + (steady(n) + walk W + steady) out^2) + (c u_s)^2 (walk A + (steady + 1) out^2)
    + 2 (c u lse)^2 out^2, the second walk and steady of u_a those of a sum along a row.
    """
    accumulator = variance_of(numerics.accumulator, problem)
    walk, steady = roundings(rows.keys, longest_chain(numerics, problem, rows.keys))
    row_walk, row_steady = row_roundings(numerics, problem, rows.keys)
    of_values = accumulator * walk
    of_output = accumulator * (steady + row_steady + row_walk * rows.weight_square)
    if numerics.stored_accumulator is not None:
        stored = variance_of(numerics.stored_accumulator, problem)
        tiles = (rows.keys / numerics.tile).ceil()
        walk, steady = roundings(tiles, tiles)
        of_values, of_output = of_values + stored * walk, of_output + stored * (steady + 1)
    if numerics.split:
        of_output = of_output + 2 * variance_of(None, problem) * rows.lse.square()
    return out.value_square * of_values.unsqueeze(3) + out.square * of_output.unsqueeze(3)


def _shifted_weight(rows: ForwardRows, out: _Output) -> Tensor:
    """Variance from weights that are off by t_i, of kernel and reference together: r t_i^2 min(A + out^2 W,
    LONE_KEY (1 - peak)^2 max_j v_j^2)."""
    variance = rows.weight_variance + rows.reference_variance
    spread = out.value_square + out.square * rows.weight_square.unsqueeze(3)
    alone = LONE_KEY * (1 - rows.peak).square().unsqueeze(3) * out.largest_value.square()
    return torch.minimum(spread, alone) * (rows.shared * variance).unsqueeze(3)


def _systematic(problem: Problem, numerics: Numerics, rows: ForwardRows, weight_unit: float) -> float:
    """Relative errors of the output that need not average out, but for those of sums that one key dominates:

    e_exp + e_tanh + u^2 + u_p^2 + (2 m + e_scale) (1 + mean |s|) + u_o^2 + u_v^2 + u_m^2 + max p_z e_z, the mean
    rounding error of the largest weight where weights are divided first, and 2 u max |lse| where splits are merged.
    """
    operand, unit = OperandRounding.of(problem, numerics), unit_roundoff(problem.dtype)
    systematic = exp_error(problem, numerics) + tanh_error(problem, numerics) + unit**2 + weight_unit**2
    mean_size = float(rows.logit_square.sqrt().mean())
    systematic += 2 * operand.mean * (1 + mean_size) + operand.unit**2
    systematic += LogitRoundings.of(problem, numerics).scale_error * (1 + mean_size)
    systematic += values_unit(problem, numerics) ** 2 + split_unit(problem, numerics) ** 2
    systematic += float(rows.sink_rounding.max())
    if numerics.normalized:
        stored = rows.peak.to(precision(numerics.probabilities, problem)).to(rows.peak.dtype)
        systematic += abs(float((stored - rows.peak).mean()))
    if numerics.split:
        # The LSE of a part and the merged one are both rounded, and alike in rows that are alike.
        systematic += 2 * unit_roundoff(problem.sum_dtype) * float(rows.lse.abs().max())
    return systematic


def _lse(problem: Problem, numerics: Numerics, rows: ForwardRows) -> LseBudget:
    """The budget of the LSE, `[B, H, Sq]`:

    var = (c u lse)^2 + (c u_a)^2 (max^2 + steady(n)) + r t^2 W + t_z^2 p_z^2 + (c u_o)^2 Y + e^2, the result, the
    sum of weights and the logits; shifted by at most e_exp + e_tanh |s| + 2 m |s| + e_scale |s|, and bounded beside by
    p_z e_z + u_e |lse|.
    """
    accumulator = unit_roundoff(precision(numerics.accumulator, problem)) ** 2
    _, steady = row_roundings(numerics, problem, rows.keys)
    result = ROUNDING_SQUARE * (unit_roundoff(problem.sum_dtype) ** 2 * rows.lse.square())
    sums = ROUNDING_SQUARE * accumulator * (rows.largest_logit.square() + steady)
    logits = rows.shared * rows.weight_variance * rows.weight_square + rows.sink_variance + rows.common_variance
    logits += rows.lost_weight.square()
    # The reference of a half type is float32 as well, and rounds as much again.
    sides = 2 if problem.oracle_dtype == torch.float32 else 1
    largest = float(rows.logit_square.max()) ** 0.5
    shift = exp_error(problem, numerics) + tanh_error(problem, numerics) * largest
    shift += 2 * OperandRounding.of(problem, numerics).mean * largest
    shift += LogitRoundings.of(problem, numerics).scale_error * largest
    bound = rows.sink_rounding + stored_lse_unit(problem, numerics) * rows.lse.abs()
    return LseBudget((sides * (result + sums + logits)).sqrt_(), shift, bound)
