"""The budget of gradients: the error that a correct backward pass of given numerics can show, derived from rounding.

Notation as in `judge/budget/rounding.py`; P = exp(s - lse), dP = dO V^T, delta = rowsum(dO * out), dS = P (dP -
delta), dV = P^T dO, dQ = scale dS K, dK = scale dS^T Q. Every term of these sums has an error of its own, and each row
of queries has two that all its terms share. Their variances are summed over the same tiles as the gradients themselves.

**Of each pair.**

    tau^2 = (c u_a)^2 (walk(D) / 3 R + (steady(D) + 1) s^2 + (s - lse)^2)
            + (c u_l)^2 s^2 + (e_exp / 2)^2                     the logit, which is relative to P
    var[dP] = (c u_a)^2 (walk(Dv) / 3 |dO|^2 |v|^2 / Dv + steady(Dv) dP^2)
    var[dS] = tau^2 dS^2 + P^2 var[dP] + 2 (c u_a)^2 dS^2
              + (c u_s)^2 dS^2                                  dS rounded before its products
    var[P]  = tau^2 P^2 + (c u_p)^2 P^2                         P rounded before its product

**Of each row.** lambda^2 is the variance of its LSE: it scales all P of the row. Where P is the forward pass's softmax,
which has no LSE, its maximum stands in the place of that in tau, and

    lambda^2 = r t^2 W + (c u_a)^2 (steady(n) + 1)                  logits, sum of the weights, division.

delta of the rounded output is off by

    var[delta] = sum_j tau^2 dS^2 + lambda^2 delta^2                   logits, sum of the weights
                 + (c u_a)^2 (walk(n) E + steady(n) C)                the output's sums
                 + (c u_p)^2 B + (c u)^2 C                            its roundings
                 + (c u_a)^2 (walk(Dv) / 3 C + steady(Dv) delta^2)    the row sum

with B = sum_j P^2 dP^2, C = sum_d dO^2 out^2 and E = sum_d dO^2 sum_j P^2 v^2. The row sum of P * dP has, beside the
first line, (c u_a)^2 (walk(n) B + steady(n) delta^2) and the errors of dP. Either moves every dS of its row by -P.

**Of the gradients.** With A the sum of the squared terms and g the gradient,

    var[dQ] = scale^2 (var[dS] K^2 + var[delta] (P K)^2) + lambda^2 g^2 + sums
    var[dK] = scale^2 (var[dS] + P^2 var[delta] + lambda^2 dS^2)^T Q^2 + sums
    var[dV] = (var[P] + lambda^2 P^2)^T dO^2 + sums
    sums    = (c u_a)^2 (walk(n) / 3 A + (steady(n) + 1) g^2)    kept in the accumulator's precision
              + (c u_t)^2 (walk_t A + steady_t sum_h g_h^2)      stored after each but the last of t tiles
              + (c u_g)^2 sum_h g_h^2                            of each query head, before a group is added
              + (c u)^2 g^2 + (e_exp / 2)^2 g^2                  the result; a biased exponential

- A partial sum after the share f of random terms whose whole is g has the mean square f^2 g^2 + f (1 - f) A; summed
  over the tiles, walk_t = (t^2 - 1) / (6 t) and steady_t = (t - 1) (2 t - 1) / (6 t).
- Where the heads of a group add to one running gradient, t counts the tiles of all of them, g stands in the place of
  g_h, and the heads' own gradients walk as terms do: max(A, sum_h g_h^2) in the place of A. None is rounded alone.
- n counts the terms that a mask lets in; of dV, at most those whose dO is not 0, as adding a zero rounds nothing.
- Rows of one query, equal keys and equal LSE have equal P, whose roundings are one error: in var[dV] dO of such a row
  is the root of (sum of dO over its class)^2 / rows of the class, where that is more; in var[dK] the part of dS that
  tau and lambda move is so of dS. Rows of one query in the heads of a group whose LSE differs have the errors of their
  logits in common, not those roundings (`pytest_attn.judge.budget.shared_logits`).
- Operands that are rounded to TF32 (`judge/budget/operands.py`) add (c u_o)^2 2 sum_d (scale q_d k_d)^2 to tau^2,
  (c u_o)^2 2 sum_d (dO_d v_d)^2 to var[dP], (c u_o)^2 E to var[delta] and (c u_o)^2 A to the sums.
- A rounded scale, query or product (`judge/budget/logit_roundings.py`) adds (e_scale s)^2, (c u_q)^2 sum_d (scale q_d
  k_d)^2 and (c u_x)^2 s^2 to tau^2; the query (c u_q)^2 A to dK and a second rounding (c u_q)^2 g^2 to dQ, the scale
  (e_scale g)^2 to both. Values of u_v add (c u_v)^2 sum_d (dO_d v_d)^2 to var[dP], (c u_v)^2 E to var[delta] and
  (c u_v)^2 g^2 to dV; parts of a split that are stored in u_m, (c u_m)^2 (E + C) to var[delta].
- dP that is stored adds (c u_d)^2 dP^2 to var[dP]; dS that is rounded once more after it is multiplied with the scale,
  as much again, nothing where the scale is a power of two. P that is taken as it was stored adds (c u_p)^2 dS^2 to
  var[dS] and (c u_p)^2 (B + delta^2) to var[delta].
- float16 P and dS below 2^-14 are multiples of 2^-24, and lost below 2^-25.
- The LSE of a row moves P of all keys, so that dK and dV may have a mean error of lambda over the root of all rows.
- Where the rows beside one have less than a spacing of a sum P^T dO between them, it is rounded back to that one if dO
  is a power of two there, or P is 1: the mean error of rounding the sums of stored P is systematic
  (`pytest_attn.judge.budget.dominated_sums`). One term dominates where the squared sum is the sum of squares: g^2 = A.

**Bound.** As of the output: roundings of terms and result come to at most u_p P^T |dO| + u |dV|, and so on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypedDict

import torch
from torch import Tensor

from pytest_attn.judge.budget.budget import Budget, GradientBudget, GradientErrors, OutBudget
from pytest_attn.judge.budget.chains import longest_chain, roundings
from pytest_attn.judge.budget.dominated_sums import is_dominated, mean_rounding
from pytest_attn.judge.budget.gradient_pass import GradientPass
from pytest_attn.judge.budget.gradient_sums import GradientSums, TermSums
from pytest_attn.judge.budget.precision import (
    ROUNDING_SQUARE,
    exp_error,
    is_stored,
    smallest_spacing,
    unit_roundoff,
)
from pytest_attn.judge.budget.repeats import repeats
from pytest_attn.judge.budget.stored_tiles import tiles_of_keys, tiles_of_queries
from pytest_attn.judge.budget.value_rank import value_rank
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import seeing_queries
from pytest_attn.problem.problem import Problem


def gradient_budget(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Budget:
    """The budget of the gradients of a kernel of these numerics on this problem; see the module's docstring."""
    of_weights = repeats(problem, inputs)
    given = GradientPass.of(problem, inputs, reference, numerics)
    sums, equal_keys = given.sums(), float(of_weights.max())
    equal_rows = max(equal_keys, float(sums.equal_rows.max()))
    grads = GradientBudget(
        dq=_errors(given, _query_gradient(given, sums, equal_keys)),
        dk=_errors(given, _key_gradient(given, sums, equal_keys)),
        dv=_value_errors(given, _value_gradient(given, sums, equal_rows), sums.stored_dv),
    )
    return Budget(None, None, of_weights, grads)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Gradient:
    """One gradient and the sums that it is.

    `exact`: g `[B, H, S, D]`, float64. `head_square`: sum_h g_h^2 over the `heads` whose results are added, g^2 of one.
    `walk_square`: A, or sum_h g_h^2 of heads that add to one running gradient, where that is more. `terms`: n, which
    broadcasts to g; `tiles`: t `[B, H, S]`. `weight_unit`: unit roundoff of the weights of its terms;
    `rank` `[B, H]`: effective rank of the vectors that they multiply; `repeats`: in how many terms, at most, roundings
    are one error. `vectors`: (c u)^2 of rounding these vectors; `stored`: of rounding the result before its last step.
    """

    exact: Tensor
    sums: TermSums
    head_square: Tensor
    walk_square: Tensor
    heads: int
    terms: Tensor
    tiles: Tensor
    weight_unit: float
    rank: Tensor
    repeats: float
    vectors: float = 0.0
    stored: float = 0.0


def _query_gradient(given: GradientPass, sums: GradientSums, equal_terms: float) -> _Gradient:
    """dQ = scale dS K."""
    problem = given.problem
    assert given.reference.grads is not None
    exact = given.reference.grads.dq.double()
    return _Gradient(
        exact=exact,
        sums=sums.dq,
        head_square=exact.square(),
        walk_square=sums.dq.term_square,
        heads=1,
        terms=given.keys.unsqueeze(3),
        tiles=tiles_of_keys(problem, given.numerics.backward),
        weight_unit=given.units.round_scores.unit,
        rank=value_rank(given.inputs.key.cpu()).repeat_interleave(problem.group, dim=1),
        repeats=equal_terms,
        stored=given.units.query,
    )


def _key_gradient(given: GradientPass, sums: GradientSums, equal_terms: float) -> _Gradient:
    """dK = scale dS^T Q."""
    problem = given.problem
    assert given.reference.grads is not None
    exact = given.reference.grads.dk.double()
    return _Gradient(
        exact=exact,
        sums=sums.dk,
        **_of_group(given, exact, sums.dk_head_square, sums.dk),
        terms=_seeing_queries(problem).unsqueeze(3),
        tiles=tiles_of_queries(problem, given.numerics.backward),
        weight_unit=given.units.round_scores.unit,
        rank=_by_key_head(problem, value_rank(given.inputs.query.cpu())).amax(dim=2),
        repeats=equal_terms,
        vectors=given.units.query,
    )


def _value_gradient(given: GradientPass, sums: GradientSums, equal_terms: float) -> _Gradient:
    """dV = P^T dO."""
    problem = given.problem
    assert given.reference.grads is not None
    assert given.inputs.grad_out is not None
    exact, grad_out = given.reference.grads.dv.double(), given.inputs.grad_out.cpu()
    not_zero = _by_key_head(problem, (grad_out != 0).sum(dim=2).double()).sum(dim=2)
    return _Gradient(
        exact=exact,
        sums=sums.dv,
        **_of_group(given, exact, sums.dv_head_square, sums.dv),
        terms=torch.minimum(_seeing_queries(problem).unsqueeze(3), not_zero.unsqueeze(2)).clamp_min(1),
        tiles=tiles_of_queries(problem, given.numerics.backward),
        weight_unit=given.units.round_probabilities.unit,
        rank=_by_key_head(problem, value_rank(grad_out)).amax(dim=2),
        repeats=equal_terms,
        stored=given.units.values,
    )


def _value_errors(given: GradientPass, gradient: _Gradient, stored_dv: Tensor) -> GradientErrors:
    """The errors of dV, with the mean error of sums that one term dominates.

    If g = a + r with r small beside a, then g^2 - A is 2 a r, and (g^2 - A) / (2 g^2) the share of r.
    """
    errors, dtype = _errors(given, gradient), given.problem.dtype
    gradient_square = gradient.exact.square()
    twice = (2 * gradient_square).clamp_min(torch.finfo(torch.float64).tiny)
    others = (gradient_square - gradient.sums.term_square).abs() / twice
    mean = mean_rounding(gradient.exact, stored_dv, is_dominated(others, dtype), errors.allowed.sigma, dtype)
    return replace(errors, allowed=replace(errors.allowed, systematic=errors.allowed.systematic + mean))


def _errors(given: GradientPass, gradient: _Gradient) -> GradientErrors:
    """What a gradient may be off by: var = rest + roundings of the weights + (c u)^2 g^2 + grid^2 / 12."""
    dtype, sums = given.problem.dtype, gradient.sums
    grid, tiny = smallest_spacing(dtype), _flushed(given)
    unit = unit_roundoff(dtype) + (gradient.stored / ROUNDING_SQUARE) ** 0.5
    result = (given.units.result + gradient.stored) * gradient.exact.square()
    rest = _rest_variance(given, gradient)
    variance = rest + sums.rounding_variance + result + grid**2 / 12
    bound = sums.rounding_bound + unit * gradient.exact.abs() + grid / 2
    sigma, systematic = variance.sqrt().clamp_min(tiny), _systematic(given, gradient.weight_unit)
    allowed = OutBudget(sigma, rest.sqrt(), bound.clamp_min(tiny), systematic, _common(given))
    return GradientErrors(allowed, _degrees(gradient, result), gradient.repeats)


def _flushed(given: GradientPass) -> float:
    """What a weight below the smallest normal number of float32, for which 0 may stand, comes to in a gradient: at
    most so many times 1, max |dO|, or 2 scale max |dO| max |v| max(|q|, |k|), by the norms of rows."""
    inputs = given.inputs
    assert inputs.grad_out is not None
    norms = [
        float(tensor.cpu().double().norm(dim=3).max())
        for tensor in (inputs.query, inputs.key, inputs.value, inputs.grad_out)
    ]
    query, key, value, grad_out = norms
    largest = max(1.0, grad_out, 2 * abs(given.problem.scale) * grad_out * value * max(query, key))
    return torch.finfo(torch.float32).tiny * largest


def _rest_variance(given: GradientPass, gradient: _Gradient) -> Tensor:
    """The variance of a gradient without the roundings that its bound covers, `[B, H, S, D]`; A is `term_square`."""
    units, sums, grid = given.units, gradient.sums, smallest_spacing(given.problem.dtype)
    gradient_square, tiles = gradient.exact.square(), gradient.tiles.unsqueeze(3).clamp_min(1)
    walk, steady = roundings(gradient.terms, longest_chain(given.numerics, given.problem, gradient.terms))
    # (c u_a)^2 (walk(n) / 3 A + (steady(n) + 1) g^2)
    accumulated = units.accumulator * (walk / 3 * sums.term_square + (steady + 1) * gradient_square)
    exponential = (units.exponential + units.scale) * gradient_square
    operands = (units.operands + gradient.vectors) * sums.term_square
    # (c u_t)^2 (walk_t A + steady_t sum_h g_h^2)
    tile_walk, tile_steady = (tiles.square() - 1) / (6 * tiles), (tiles - 1) * (2 * tiles - 1) / (6 * tiles)
    stored = units.stored * (tile_walk * gradient.walk_square + tile_steady * gradient.head_square)
    variance = sums.variance + accumulated + exponential + operands + stored
    if gradient.heads > 1:
        variance += units.grouped * gradient.head_square
    if is_stored(given.numerics.backward.stored_gradients, given.problem):
        # What a tile adds may be less than the spacing of the result's type, and be lost after every one alike.
        variance += (tiles.square() - 1) * grid**2 / 12
    if gradient.heads > 1:
        variance += gradient.heads * grid**2 / 12
    return variance


def _systematic(given: GradientPass, weight_unit: float) -> float:
    """Relative errors of a gradient that need not average out: e_exp + u_w^2 + u^2 + e_scale (2 + mean |s|)."""
    rounded = exp_error(given.problem, given.numerics) + weight_unit**2 + unit_roundoff(given.problem.dtype) ** 2
    return float(rounded + given.scale_shift)


def _common(given: GradientPass) -> float:
    """The standard deviation of the mean of lambda of all rows, sqrt(sum lambda^2) / rows."""
    return math.sqrt(float(given.lse_variance.sum())) / given.lse_variance.numel()


def _degrees(gradient: _Gradient, result: Tensor) -> Tensor:
    """Independent errors behind each row of a gradient, `[B, H, S]`.

    1 / (1 / errors + 1 / rank): the variance of the row over its largest part that is one error, limited by the
    effective rank of the vectors of its terms. `result`: the variance of rounding each element, an error of its own.
    """
    sums = gradient.sums
    largest = torch.maximum(sums.largest_variance, result.amax(dim=3)).clamp_min(torch.finfo(torch.float32).tiny)
    errors = ((sums.row_variance + result.sum(dim=3)) / largest).clamp_min(1.0)
    return 1.0 / (1.0 / errors + 1.0 / gradient.rank.unsqueeze(2).double())


class _Group(TypedDict):
    """What the query heads of a group make of a gradient of key or value."""

    heads: int
    head_square: Tensor
    walk_square: Tensor


def _of_group(given: GradientPass, exact: Tensor, head_square: Tensor, sums: TermSums) -> _Group:
    """That of a gradient g, `exact`, whose heads come to `head_square`, sum_h g_h^2."""
    group, backward = given.problem.group, given.numerics.backward
    if group == 1:
        return _Group(heads=1, head_square=exact.square(), walk_square=sums.term_square)
    if backward.shared_gradients and is_stored(backward.stored_gradients, given.problem):
        walk_square = torch.maximum(sums.term_square, head_square)
        return _Group(heads=1, head_square=exact.square(), walk_square=walk_square)
    return _Group(heads=group, head_square=head_square, walk_square=sums.term_square)


def _seeing_queries(problem: Problem) -> Tensor:
    """n of a key: queries of its group that attend to it, at least 1 of each head, `[B, Hkv, Skv]`."""
    queries = seeing_queries(problem.mask, problem.lengths, problem.batch, problem.query_heads)
    return _by_key_head(problem, queries.clamp_min(1).double()).sum(dim=2)


def _by_key_head(problem: Problem, tensor: Tensor) -> Tensor:
    """A tensor `[B, Hq, ...]` as `[B, Hkv, group, ...]`."""
    return tensor.view(problem.batch, problem.key_heads, problem.group, *tensor.shape[2:])
