"""Roundings on the way to a logit: of the scale, of the query times the scale, of the product, and of what is stored.

Let x = scale query . key, before a variant changes it, and s what becomes of it.

- Products q_d k_d of inputs that have half of the accumulator's bits are exact; others are rounded once each, by (c
  u_a)^2 X with X = sum_d (scale q_d k_d)^2, unless they are fused with their addition, which nobody declares.
- A query that is rounded to u_q after it is multiplied with the scale moves x by (c u_q)^2 sum_d (scale q_d k_d)^2, as
  one operand of two does in `pytest_attn.judge.budget.operands`.
- A product that is rounded to u_x before it is multiplied with the scale is off by (c u_x)^2 x^2, and stored once more
  by (c u_l)^2 x^2; a scale that is a power of two rounds nothing that fits already, so then it is one of the two.
- A logit that is rounded to u_y less the maximum m of its row is off by (c u_y)^2 (s - m)^2; so is the sink's.
- A scale that is rounded is off by e_scale of itself, which is known: all x are, by e_scale x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pytest_attn.judge.budget.precision import is_stored, precision, unit_roundoff, variance_of
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitRoundings:
    """The roundings of one kernel on the way to its logits, squares of unit roundoffs.

    `query` u_q^2; `product` u_x^2; `scaled` u_l^2 of storing x, and `stored` u_l^2 of storing s. The first two are 0
    where nothing is rounded there. `scale_error`: |e_scale|.
    """

    query: float
    product: float
    scaled: float
    stored: float
    scale_error: float

    @staticmethod
    def of(problem: Problem, numerics: Numerics) -> LogitRoundings:
        """The roundings that a kernel declares for a problem."""
        stored = _square(numerics.logits, problem)
        product = 0.0 if numerics.unscaled_logits is None else _square(numerics.unscaled_logits, problem)
        exact = is_power_of_two(problem.scale)
        query_rounded = numerics.scaled_query is not None and not exact
        return LogitRoundings(
            query=_square(numerics.scaled_query, problem) if query_rounded else 0.0,
            product=product,
            scaled=0.0 if exact and product >= stored else stored,
            stored=stored,
            scale_error=_scale_error(problem, numerics),
        )

    @property
    def unchanged(self) -> float:
        """Of a logit that no variant changes, relative to it: u_x^2 + u_l^2."""
        return self.product + self.scaled


def beyond_sums(problem: Problem, numerics: Numerics) -> float:
    """u^2 of what a logit is stored in before the softmax, relative to it; 0 where it stays as sums are kept."""
    stored = is_stored(numerics.logits, problem) or numerics.unscaled_logits is not None
    return LogitRoundings.of(problem, numerics).unchanged if stored else 0.0


def rounds_products(problem: Problem, numerics: Numerics) -> bool:
    """Whether the product of two inputs has more bits than sums keep, and is rounded where it is not fused with its
    addition."""
    return unit_roundoff(problem.dtype) ** 2 < unit_roundoff(precision(numerics.accumulator, problem))


def shifted_unit_square(numerics: Numerics, problem: Problem) -> float:
    """(c u_y)^2 of rounding a logit less the maximum of its row; 0 where that stays as sums are kept."""
    return variance_of(numerics.shifted_logits, problem) if numerics.shifted_logits is not None else 0.0


def is_power_of_two(scale: float) -> bool:
    """Whether products with a scale are exact."""
    return abs(math.frexp(scale)[0]) == 0.5


def _square(name: str | None, problem: Problem) -> float:
    return float(unit_roundoff(precision(name, problem)) ** 2)


def _scale_error(problem: Problem, numerics: Numerics) -> float:
    """|round(scale) / scale - 1|; 0 where the scale is kept."""
    if numerics.scale is None:
        return 0.0
    rounded = float(torch.tensor(problem.scale, dtype=torch.float64).to(precision(numerics.scale, problem)))
    return abs(rounded / problem.scale - 1) if problem.scale else 0.0
