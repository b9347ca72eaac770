"""What is summed over the tiles of a backward pass for the budget of its gradients.

The derivation is the docstring of `pytest_attn.judge.gradient_rounding`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.judge.rounding import ROUNDING_SQUARE, _chain, _exp_error, _precision, _roundings, unit_roundoff
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.gradient_tiles import HeadTiles, Rows, Tile, add_rows, raise_rows
from pytest_attn.oracles.streaming import gather
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, slots=True)
class Units:
    """(c u)^2 of every rounding; `twice` is that of float32 sums in kernel and reference, `common` (e_exp / 2)^2."""

    twice: float
    logits: float
    probabilities: float
    score_gradients: float
    stored: float
    grouped: float
    result: float
    common: float

    @staticmethod
    def of(problem: Problem, numerics: Numerics) -> Units:
        """Of the numerics that a kernel declares for a problem."""

        def square(name: str) -> float:
            return ROUNDING_SQUARE * unit_roundoff(_precision(name, problem)) ** 2

        backward = numerics.backward
        sides = 2 if problem.oracle_dtype == torch.float32 else 1
        return Units(
            twice=sides * square(numerics.accumulator),
            logits=0.0 if numerics.logits == "float32" else square(numerics.logits),
            probabilities=square(numerics.probabilities),
            score_gradients=square(backward.score_gradients),
            stored=square(backward.stored_gradients),
            grouped=square(backward.grouped_gradients) if problem.group > 1 else 0.0,
            result=square("input"),
            common=(_exp_error(problem, numerics) / 2) ** 2,
        )


class Sums(NamedTuple):
    """What is summed for one gradient: `rounded`, variance of rounding each term; `own`, of its other errors; `terms`,
    the squared terms; `absolute`, their sizes, all `[S, D]`; `total` of the variance `[S]` and the `largest` part of it
    that is one error."""

    rounded: Tensor
    own: Tensor
    terms: Tensor
    absolute: Tensor
    total: Tensor
    largest: Tensor

    @staticmethod
    def zeros(rows: int, columns: int, like: Tensor) -> Sums:
        """Of nothing."""
        wide, narrow = (like.new_zeros(shape) for shape in ((rows, columns), (rows,)))
        return Sums(wide, wide.clone(), wide.clone(), wide.clone(), narrow, narrow.clone())

    def add(self, tile: Tile | None, other: Sums) -> None:
        """Add the sums of the keys of a tile, or of the same rows where it is None."""
        group = tile.group if tile else [(0, len(self.total), True)]
        for mine, theirs in zip(self[:-1], other[:-1], strict=True):
            add_rows(mine, group, theirs)  # type: ignore[arg-type]
        raise_rows(self.largest, group, other.largest)  # type: ignore[arg-type]


def term_sums(
    weights: Tensor,
    rounded: Tensor,
    own: Tensor,
    operand: Tensor,
    shared: Tensor | None = None,
    count: Tensor | None = None,
) -> Sums:
    """Of weights `[S, terms]` with the variances `rounded` and `own`, times an operand `[terms, D]`.

    `shared` is the operand where errors are shared by classes of terms, and `count` `[terms]` the terms of each class.
    """
    square = operand.square()
    by_class = square if shared is None else shared.square()
    parts = (rounded + own) * by_class.sum(dim=1)
    together = parts if count is None else parts * count
    return Sums(
        rounded @ by_class,
        own @ by_class,
        weights.square() @ square,
        weights.abs() @ operand.abs(),
        parts.sum(dim=1),
        together.amax(dim=1),
    )


@dataclass(frozen=True, eq=False)
class Pairs:
    """The variances of the pairs of a tile, in units of P: `weight` tau^2 P^2, `product` P^2 var[dP], and dS itself."""

    weight: Tensor
    product: Tensor
    score_gradients: Tensor
    own: Tensor

    @staticmethod
    def of(problem: Problem, units: Units, numerics: Numerics, head: HeadTiles, rows: Rows, tile: Tile) -> Pairs:
        """Of one tile."""
        key, value = gather(head.key, tile.group), gather(head.value, tile.group)
        walk, steady = dot_roundings(problem.head_dim, problem, numerics)
        sizes = _sizes(rows.query, key) * (problem.scale**2 / problem.head_dim)
        square = tile.scores.square()
        tau = walk * sizes + (steady + 1) * square + (tile.scores - rows.lse.unsqueeze(1)).square()
        tau = units.twice * tau + units.logits * square + units.common
        walk, steady = dot_roundings(problem.value_dim, problem, numerics)
        product = walk / problem.value_dim * _sizes(rows.grad_out, value) + steady * tile.products.square()
        weight_square = tile.weights.square()
        score_gradients = tile.weights * (tile.products - rows.delta.unsqueeze(1))
        product = units.twice * weight_square * product
        own = (tau + 2 * units.twice) * score_gradients.square() + product
        return Pairs(tau * weight_square, product, score_gradients, own)


def _sizes(rows: Tensor, keys: Tensor) -> Tensor:
    return torch.outer(rows.square().sum(dim=1), keys.square().sum(dim=1))


def dot_roundings(terms: int, problem: Problem, numerics: Numerics) -> tuple[float, float]:
    """(walk / 3, steady) of a sum of so many terms."""
    count = torch.tensor(float(terms))
    walk, steady = _roundings(count, _chain(numerics, problem, count))
    return float(walk) / 3, float(steady)


def below_grid(problem: Problem, precision: str, square: Tensor) -> Tensor:
    """Variance of numbers of that square below the smallest normal one of a precision: of its spacing, and no more than
    themselves."""
    found = torch.finfo(_precision(precision, problem))
    return square.clamp_max((found.smallest_normal * found.eps) ** 2 / 12)
