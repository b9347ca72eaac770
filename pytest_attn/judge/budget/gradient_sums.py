"""What is summed over the tiles of a backward pass for the budget of its gradients.

The derivation is the docstring of `pytest_attn.judge.budget.gradient_rounding`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.judge.budget.chains import longest_chain, roundings, row_roundings
from pytest_attn.judge.budget.operands import OperandRounding
from pytest_attn.judge.budget.precision import ROUNDING_SQUARE, exp_error, is_stored, precision, variance_of
from pytest_attn.judge.budget.rounding import Rows as ForwardRows
from pytest_attn.judge.budget.rounding import budget
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.gradient_tiles import HeadTiles, Rows, Tile, add_rows, raise_rows
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import gather
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, slots=True)
class Units:
    """(c u)^2 of every rounding; `sums` is that of the accumulator, `common` (e_exp / 2)^2, `operands` that of what
    products round before they multiply."""

    sums: float
    logits: float
    probabilities: float
    stored: float
    grouped: float
    result: float
    common: float
    operands: float

    @staticmethod
    def of(problem: Problem, numerics: Numerics) -> Units:
        """Of the numerics that a kernel declares for a problem."""
        backward = numerics.backward
        return Units(
            sums=variance_of(numerics.accumulator, problem),
            logits=variance_of(numerics.logits, problem) if is_stored(numerics.logits, problem) else 0.0,
            probabilities=ROUNDING_SQUARE * Rounding.to(numerics.probabilities, problem, numerics).unit ** 2,
            stored=variance_of(backward.stored_gradients, problem),
            grouped=variance_of(backward.grouped_gradients, problem) if problem.group > 1 else 0.0,
            result=variance_of("input", problem),
            common=(exp_error(problem, numerics) / 2) ** 2,
            operands=ROUNDING_SQUARE * OperandRounding.of(problem, numerics).unit ** 2,
        )


@dataclass(frozen=True, slots=True)
class Rounding:
    """Rounding to a precision of unit roundoff `unit`, whose numbers below the smallest normal one are multiples of
    `grid`; `factor` is what the rounded numbers are multiplied with."""

    unit: float
    grid: float
    factor: float = 1.0

    @staticmethod
    def to(name: str, problem: Problem, numerics: Numerics, factor: float = 1.0) -> Rounding:
        """To a named precision, and to that of an operand."""
        found = torch.finfo(precision(name, problem))
        unit = OperandRounding.of_weights(numerics, found.eps / 2)
        return Rounding(unit, found.smallest_normal * found.eps, abs(factor))

    def variance(self, weights: Tensor) -> Tensor:
        """Of the errors of weights; less than half of the grid is lost whole."""
        square, grid = weights.square(), (self.grid * self.factor) ** 2
        return ROUNDING_SQUARE * self.unit**2 * square + torch.where(square < grid / 4, square, grid / 12)

    def bound(self, weights: Tensor) -> Tensor:
        """The most that weights may be off by."""
        size = weights.abs()
        return self.unit * size + size.clamp_max(self.grid * self.factor / 2)


class Sums(NamedTuple):
    """What is summed for one gradient, all `[S, D]`: `rounded`, the variance of rounding each term; `own`, of its other
    errors; `terms`, the squared terms; `bound`, the most that rounding each comes to. `total` `[S]` is the variance of
    a whole row, and `largest` `[S]` the largest part of it that is one error."""

    rounded: Tensor
    own: Tensor
    terms: Tensor
    bound: Tensor
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
    rounding: Rounding,
    own: Tensor,
    operand: Tensor,
    shared: Tensor | None = None,
    count: Tensor | None = None,
) -> Sums:
    """Of weights `[S, terms]` that are rounded, with the variance `own` of their other errors, times an operand
    `[terms, D]`.

    `shared` is the operand where errors are shared by classes of terms, and `count` `[terms]` the terms of each class.
    """
    square = operand.square()
    by_class = square if shared is None else torch.maximum(square, shared.square())
    rounded = rounding.variance(weights)
    parts = (rounded + own) * by_class.sum(dim=1)
    together = parts if count is None else parts * count
    return Sums(
        rounded @ by_class,
        own @ by_class,
        weights.square() @ square,
        rounding.bound(weights) @ operand.abs(),
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
        tau = walk * sizes + (steady + 1) * square + (tile.scores - _shift(numerics, head, rows).unsqueeze(1)).square()
        tau = units.sums * tau + units.logits * square + units.common
        if units.operands:
            tau += 2 * units.operands * problem.scale**2 * (rows.query.square() @ key.square().T)
        walk, steady = dot_roundings(problem.value_dim, problem, numerics)
        product = walk / problem.value_dim * _sizes(rows.grad_out, value) + steady * tile.products.square()
        weight_square = tile.weights.square()
        score_gradients = tile.weights * (tile.products - rows.delta.unsqueeze(1))
        product = units.sums * product
        if units.operands:
            product += 2 * units.operands * (rows.grad_out.square() @ value.square().T)
        product = weight_square * product
        own = (tau + 2 * units.sums) * score_gradients.square() + product
        return Pairs(tau * weight_square, product, score_gradients, own)


def row_variance(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Tensor:
    """lambda^2 `[B, Hq, Sq]`, float64: the variance that all P of a row have in common."""
    if numerics.backward.weights_of == "lse":
        lse = budget(replace(problem, ask="lse"), inputs, reference, numerics).lse
        assert lse is not None
        return lse.sigma.square().double()
    rows = ForwardRows.of(problem, inputs, reference, numerics)
    accumulator = variance_of(numerics.accumulator, problem)
    _, steady = row_roundings(numerics, problem, rows.keys)
    return (accumulator * (steady + 1) + rows.shared * rows.weight_variance * rows.weight_square).double()


def _shift(numerics: Numerics, head: HeadTiles, rows: Rows) -> Tensor:
    """What is subtracted from the logits of some rows before the exponential."""
    if numerics.backward.weights_of == "lse":
        return rows.lse
    assert head.reference.moments is not None
    peak = head.reference.moments.peak[rows.where].to(rows.lse)
    return rows.lse + torch.where(peak > 0, peak, 1.0).log()


def _sizes(rows: Tensor, keys: Tensor) -> Tensor:
    return torch.outer(rows.square().sum(dim=1), keys.square().sum(dim=1))


def dot_roundings(terms: int, problem: Problem, numerics: Numerics) -> tuple[float, float]:
    """(walk / 3, steady) of a sum of so many terms."""
    count = torch.tensor(float(terms))
    walk, steady = roundings(count, longest_chain(numerics, problem, count))
    return float(walk) / 3, float(steady)
