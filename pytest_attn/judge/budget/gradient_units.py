"""Roundings of a backward pass: how large each is by the numerics that a kernel declares.

The derivation is the docstring of `pytest_attn.judge.budget.gradient_rounding`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pytest_attn.judge.budget.chains import longest_chain, roundings
from pytest_attn.judge.budget.logit_roundings import LogitRoundings, beyond_sums, is_power_of_two, shifted_unit_square
from pytest_attn.judge.budget.operands import OperandRounding
from pytest_attn.judge.budget.precision import (
    ROUNDING_SQUARE,
    exp_error,
    precision,
    smallest_spacing,
    split_unit,
    unit_roundoff,
    values_unit,
    variance_of,
)
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, slots=True)
class Rounding:
    """Rounding of the weights of a sum to a precision before they are multiplied.

    `unit` is the unit roundoff u; numbers below the smallest normal one are multiples of `grid`; the rounded numbers
    are multiplied with `factor`. `then`: the rounding of that product, where it is one.
    """

    unit: float
    grid: float
    factor: float = 1.0
    then: Rounding | None = None

    @staticmethod
    def to(name: str, problem: Problem, numerics: Numerics, factor: float = 1.0) -> Rounding:
        """Rounding to a named precision, and to that of an operand of a product."""
        found = torch.finfo(precision(name, problem))
        unit = OperandRounding.of_weights(numerics, found.eps / 2)
        return Rounding(unit, found.smallest_normal * found.eps, abs(factor))

    def variance(self, weights: Tensor) -> Tensor:
        """(c u w)^2 + grid^2 / 12 of weights w; all of w^2 where w is less than half of the grid and is lost."""
        weight_square, grid_square = weights.square(), (self.grid * self.factor) ** 2
        below_grid = torch.where(weight_square < grid_square / 4, weight_square, grid_square / 12)
        own = ROUNDING_SQUARE * self.unit**2 * weight_square + below_grid
        return own if self.then is None else own + self.then.variance(weights)

    def bound(self, weights: Tensor) -> Tensor:
        """u |w| + grid / 2, the most that weights w may be off by; all of |w| where it is less than half of the
        grid."""
        size = weights.abs()
        own = self.unit * size + size.clamp_max(self.grid * self.factor / 2)
        return own if self.then is None else own + self.then.bound(weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The size of every rounding of a backward pass: (c u)^2 of each precision u, in the letters of the derivation.

    `accumulator` u_a; `logits` u_l, 0 where they are not stored; `probabilities` u_p; `stored` u_t, of the running
    gradients; `grouped` u_g, 0 where no group shares a key head; `result` u; `operands` u_o. `exponential` is
    (e_exp / 2)^2, `scale` e_scale^2; `query` u_q, `shifted` u_y, `values` u_v, `parts` u_m, 0 where nothing is rounded
    there. `round_products`, `round_scores` and `round_probabilities` are the roundings of dP, and of scale dS and P
    before their products; that of dP is None where it is not stored.
    """

    accumulator: float
    logits: float
    probabilities: float
    stored: float
    grouped: float
    result: float
    operands: float
    exponential: float
    scale: float
    query: float
    shifted: float
    values: float
    parts: float
    round_products: Rounding | None
    round_scores: Rounding
    round_probabilities: Rounding

    @staticmethod
    def of(problem: Problem, numerics: Numerics) -> Units:
        """The roundings of the numerics that a kernel declares for a problem."""
        backward, logits = numerics.backward, LogitRoundings.of(problem, numerics)
        round_probabilities = Rounding.to(numerics.probabilities, problem, numerics)
        return Units(
            accumulator=variance_of(numerics.accumulator, problem),
            logits=ROUNDING_SQUARE * beyond_sums(problem, numerics),
            probabilities=ROUNDING_SQUARE * round_probabilities.unit**2,
            stored=variance_of(backward.stored_gradients, problem),
            grouped=variance_of(backward.grouped_gradients, problem) if problem.group > 1 else 0.0,
            result=variance_of("input", problem),
            operands=ROUNDING_SQUARE * OperandRounding.of(problem, numerics).unit ** 2,
            exponential=(exp_error(problem, numerics) / 2) ** 2,
            scale=logits.scale_error**2,
            query=ROUNDING_SQUARE * logits.query,
            shifted=shifted_unit_square(numerics, problem),
            values=ROUNDING_SQUARE * values_unit(problem, numerics) ** 2,
            parts=ROUNDING_SQUARE * split_unit(problem, numerics) ** 2,
            round_products=_round_products(problem, numerics),
            round_scores=_round_scores(problem, numerics),
            round_probabilities=round_probabilities,
        )


def _round_products(problem: Problem, numerics: Numerics) -> Rounding | None:
    """The rounding of dP; None where it is not stored."""
    name = numerics.backward.probability_gradients
    if name is None:
        return None
    found = precision(name, problem)
    return Rounding(unit_roundoff(found), smallest_spacing(found))


def _round_scores(problem: Problem, numerics: Numerics) -> Rounding:
    """The rounding of dS, and of its product with the scale where that is stored; one that is a power of two rounds no
    number of the same type."""
    backward = numerics.backward
    once = Rounding.to(backward.score_gradients, problem, numerics, problem.scale)
    if backward.scaled_score_gradients is None:
        return once
    twice = Rounding.to(backward.scaled_score_gradients, problem, numerics)
    exact = is_power_of_two(problem.scale) and twice.unit <= once.unit
    return replace(once, then=replace(twice, unit=0.0) if exact else twice)


def dot_roundings(terms: int, problem: Problem, numerics: Numerics) -> tuple[float, float]:
    """(walk / 3, steady) of a dot product of so many terms."""
    count = torch.tensor(float(terms))
    walk, steady = roundings(count, longest_chain(numerics, problem, count))
    return float(walk) / 3, float(steady)
