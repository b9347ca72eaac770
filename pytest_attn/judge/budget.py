"""The budget: the error that a correct kernel with given numerics can show on a problem, derived from rounding.

Notation: u is the unit roundoff of a precision (2^-8 bfloat16, 2^-11 float16, 2^-24 float32), c = ROUNDING_RMS, p_ij
the probabilities of row i, s_ij its scaled logits. Independent roundings add in the mean square. For the output

    var[i, d] = (c u_p)^2 A[i, d]                        probabilities rounded to the precision u_p
              + t_i^2 (A[i, d] + out[i, d]^2 W_i)        logits off by t_i shift weight between values
              + (c u_a)^2 (L/2 A[i, d] + G out[i, d]^2)  sums of values kept in the accumulator
              + (c u)^2 out[i, d]^2                      the result rounded once
    with  A = sum_j p_ij^2 v_jd^2,  W = sum_j p_ij^2

and for the log-sum-exp, whose logit errors average over the keys,

    var[i] = t_i^2 W_i + (c u_a)^2 (lse_i^2 + max_i^2 + G),  shifted at most by the bias of the exponential.

A dot product of n terms added in chains of L keeps, of a random walk, L/2 and, of a steady sum, G = L^2 / (3 n) + n /
(3 L) squared roundings of its result's scale; t_i collects those of query . key, the rounding of a stored logit and
of the exponential's argument, and the exponential itself. Half types add the spacing of their subnormals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import TORCH_DTYPES, Problem

ROUNDING_RMS = math.sqrt(3 / (24 * math.log(2)))
"""Relative RMS error of rounding to nearest, in unit roundoffs, for log-uniform mantissas: 0.425.

A mantissa m in [1, 2) of log-uniform density 1 / (m ln 2) is off by a uniform error of RMS u / sqrt(3), so the mean
square of the relative error is u^2 / 3 times the mean of m^-2, which is 3 / (8 ln 2)."""


def unit_roundoff(dtype: torch.dtype) -> float:
    """Half the distance from 1 to the next number."""
    return torch.finfo(dtype).eps / 2


@dataclass(frozen=True, eq=False)
class Budget:
    """One standard deviation of the rounding error, per element, and how far a bias of the exponential can shift.

    `out` `[B, H, Sq, Dv]` and `lse` `[B, H, Sq]`, None where not asked for, zero in rows without keys; `lse_shift` is a
    bound, not a deviation.
    """

    out: Tensor | None
    lse: Tensor | None
    lse_shift: float

    def weighted(self, out: Tensor | float, lse: Tensor | float) -> Budget:
        """The budget of a result multiplied by weights that are not negative; `lse` at most 1."""
        return Budget(
            None if self.out is None else self.out * out, None if self.lse is None else self.lse * lse, self.lse_shift
        )

    def last_rows(self, count: int) -> Budget:
        """The budget of the last rows alone."""
        return Budget(
            None if self.out is None else self.out[:, :, -count:],
            None if self.lse is None else self.lse[:, :, -count:],
            self.lse_shift,
        )

    def plus(self, other: Budget) -> Budget:
        """The budget of the sum, or the difference, of two results whose errors are independent."""
        return Budget(
            _root_sum_square(self.out, other.out),
            _root_sum_square(self.lse, other.lse),
            self.lse_shift + other.lse_shift,
        )


def _root_sum_square(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return None if one is None or other is None else torch.hypot(one, other)


def budget(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Budget:
    """The budget of a kernel of these numerics on this problem; see the module's docstring for the derivation."""
    logits = _logit_variance(problem, inputs, reference, numerics)
    exp_error = _exp_error(problem, numerics)
    out = _out_deviation(problem, inputs, reference, numerics, logits) if problem.wants_out else None
    lse = _lse_deviation(problem, reference, numerics, logits) if problem.wants_lse else None
    return Budget(out, lse, exp_error)


def _precision(name: str, problem: Problem) -> torch.dtype:
    return problem.dtype if name == "input" else TORCH_DTYPES[name]


def _exp_error(problem: Problem, numerics: Numerics) -> float:
    if numerics.exp_error is not None:
        return numerics.exp_error
    return 2.0**-22 if problem.dtype == torch.float32 else 2.0**-16


def _steady_roundings(terms: int, chain: int) -> float:
    """G: squared roundings, in units of the result's, of a sum whose terms do not cancel."""
    length = min(terms, chain)
    return length * length / (3 * terms) + terms / (3 * length)


def _logit_variance(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Tensor:
    """t_i^2 `[B, H, Sq]`: variance of the relative error of a weight."""
    accumulator = unit_roundoff(_precision(numerics.accumulator, problem))
    stored = unit_roundoff(_precision(numerics.logits, problem))
    chain = min(numerics.chain, problem.head_dim)
    query_square = inputs.query.cpu().float().square().sum(dim=3)
    key_square = inputs.key.cpu().float().square().sum(dim=3).mean(dim=2, keepdim=True)
    # The partial sums of a dot product of unrelated vectors walk at random; this is their final mean square.
    walk = query_square * key_square.repeat_interleave(problem.group, dim=1) * (problem.scale**2 / problem.head_dim)
    typical = _typical_logit_square(reference)
    variance = accumulator**2 * (chain / 2 * walk + (_steady_roundings(problem.head_dim, chain) + 1.0) * typical)
    variance += (stored**2 + accumulator**2) * typical
    return variance.to(reference.lse.dtype) * ROUNDING_RMS**2 + (_exp_error(problem, numerics) / 2) ** 2


def _typical_logit_square(reference: Reference) -> Tensor:
    """Mean square `[B, H, Sq]` of the logits that carry a row's weight.

    Their mean under the weights p^2 lies between log(sum p^2) + lse (convexity of the log-sum-exp in the inverse
    temperature) and the largest logit; the mean square of the two bounds stands for it. Where no moments are known, the
    log-sum-exp itself is the larger bound.
    """
    lse = torch.where(reference.empty_rows, 0.0, reference.lse)
    if reference.moments is None:
        return lse.square()
    largest = lse + _log(reference.moments.peak)
    lower = lse + _log(reference.moments.weight_square)
    return (largest.square() + lower.square()) / 2


def _log(weight: Tensor) -> Tensor:
    return torch.where(weight > 0, weight, 1.0).log()


def _out_deviation(
    problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics, logits: Tensor
) -> Tensor:
    assert reference.out is not None
    assert reference.moments is not None
    assert reference.moments.value_square is not None
    moments, value_square = reference.moments, reference.moments.value_square
    rounding = ROUNDING_RMS**2
    accumulator = rounding * unit_roundoff(_precision(numerics.accumulator, problem)) ** 2
    probabilities = _precision(numerics.probabilities, problem)
    chain = min(numerics.chain, problem.key_length)
    steady = _steady_roundings(problem.key_length, numerics.chain)
    per_square = rounding * unit_roundoff(probabilities) ** 2 + accumulator * (chain / 2) + logits
    per_out = rounding * unit_roundoff(problem.dtype) ** 2 + accumulator * steady + logits * moments.weight_square
    out_square = reference.out.square()
    variance = torch.addcmul(
        out_square * per_out.unsqueeze(3), value_square.to(out_square.dtype), per_square.unsqueeze(3)
    )
    variance += torch.finfo(problem.dtype).smallest_normal ** 2 * torch.finfo(problem.dtype).eps ** 2 / 12
    if probabilities == torch.float16:
        # Weights below 2^-14 of the row's largest are multiples of 2^-24 of it.
        values = inputs.value.cpu().to(out_square.dtype).square().sum(dim=2, keepdim=True)
        quantum = moments.peak.square() * (2.0**-48 / 12)
        variance += quantum.unsqueeze(3) * values.repeat_interleave(problem.group, dim=1)
    # A float32 zero would make 0 / 0 of a row that is exactly right.
    return variance.sqrt_().clamp_min_(torch.finfo(torch.float32).tiny)


def _lse_deviation(problem: Problem, reference: Reference, numerics: Numerics, logits: Tensor) -> Tensor:
    accumulator = unit_roundoff(_precision(numerics.accumulator, problem))
    lse = torch.where(reference.empty_rows, 0.0, reference.lse)
    # Without moments, one key may carry the whole row: its logit's error is not averaged.
    weight_square = 1.0 if reference.moments is None else reference.moments.weight_square
    largest = lse if reference.moments is None else lse + _log(reference.moments.peak)
    steady = _steady_roundings(problem.key_length, numerics.chain)
    # The reference of a half type is float32 as well, and rounds as much again.
    sides = 2 if problem.oracle_dtype == torch.float32 else 1
    result = unit_roundoff(torch.float32) ** 2 * lse.square()
    internal = accumulator**2 * (largest.square() + steady)
    return (sides * ROUNDING_RMS**2 * (result + internal) + sides * logits * weight_square).sqrt()
