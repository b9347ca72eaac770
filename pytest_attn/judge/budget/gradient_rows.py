"""Rows of queries in a backward pass: the errors of LSE and delta, which all terms of a row share.

The derivation is the docstring of `pytest_attn.judge.budget.gradient_rounding`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pytest_attn.judge.budget.chains import longest_chain, roundings, row_roundings
from pytest_attn.judge.budget.forward_rows import ForwardRows
from pytest_attn.judge.budget.gradient_pairs import Pairs
from pytest_attn.judge.budget.gradient_units import Units, dot_roundings
from pytest_attn.judge.budget.logit_roundings import LogitRoundings
from pytest_attn.judge.budget.precision import variance_of
from pytest_attn.judge.budget.rounding import budget
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.gradient_tiles import HeadTiles, Rows
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def row_variance(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Tensor:
    """lambda^2 `[B, Hq, Sq]`, float64: the variance of the relative error that all P of a row have in common.

    That of the LSE where P = exp(s - lse); of a softmax, r t^2 W + (c u_a)^2 (steady(n) + 1) + e^2 and what all its
    logits have in common. A rounded scale moves either by at most e_scale |s|.
    """
    rows = ForwardRows.of(problem, inputs, reference, numerics)
    scaled = LogitRoundings.of(problem, numerics).scale_error ** 2 * rows.logit_square
    if numerics.backward.weights_of == "lse":
        lse = budget(replace(problem, ask="lse"), inputs, reference, numerics).lse
        assert lse is not None
        return (lse.sigma.square() + scaled).double()
    _, steady = row_roundings(numerics, problem, rows.keys)
    divided = variance_of(numerics.accumulator, problem) * (steady + 1)
    logits = rows.shared * rows.weight_variance * rows.weight_square + rows.common_variance
    return (divided + logits + scaled + rows.lost_weight.square()).double()


def scale_shift(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> float:
    """e_scale (2 + mean |s|): how far a rounded scale moves gradients, relative to them, through the factor of dQ and
    dK and through the weights; 0 where the scale is kept."""
    error = LogitRoundings.of(problem, numerics).scale_error
    if not error:
        return 0.0
    return error * (2 + float(ForwardRows.of(problem, inputs, reference, numerics).logit_square.sqrt().mean()))


@dataclass(frozen=True, eq=False)
class RowSums:
    """What is summed over the keys of some rows, all `[rows]`."""

    logits: Tensor
    """sum_j tau^2 dS^2."""

    products: Tensor
    """B = sum_j P^2 dP^2."""

    product_variance: Tensor
    """sum_j P^2 var[dP]."""

    @staticmethod
    def of(units: Units, numerics: Numerics, head: HeadTiles, rows: Rows) -> RowSums:
        """The sums over the tiles of some rows."""
        logits, products, product_variance = (torch.zeros_like(rows.lse) for _ in range(3))
        for tile in head.tiles(rows):
            pairs = Pairs.of(units, numerics, head, rows, tile)
            shifted_square = (tile.probability_gradients - rows.delta.unsqueeze(1)).square()
            logits += (pairs.logit_variance * shifted_square).sum(dim=1)
            products += (tile.probabilities * tile.probability_gradients).square().sum(dim=1)
            product_variance += pairs.product_variance.sum(dim=1)
        return RowSums(logits, products, product_variance)


def delta_variance(
    units: Units, numerics: Numerics, head: HeadTiles, rows: Rows, *, lse_variance: Tensor, keys: Tensor
) -> Tensor:
    """var[delta] `[rows]` of some rows, whose lambda^2 is `lse_variance` `[rows]` and n is `keys` `[rows]`."""
    sums = RowSums.of(units, numerics, head, rows)
    # sum_j tau^2 dS^2 + lambda^2 delta^2
    weights = sums.logits + lse_variance * rows.delta.square()
    if numerics.backward.delta_of == "probabilities":
        return _row_sum_of_products(weights, units, numerics, head.problem, sums, rows, keys)
    return _row_sum_of_output(weights, units, numerics, head, sums, rows, keys)


def _row_sum_of_products(
    weights: Tensor, units: Units, numerics: Numerics, problem: Problem, sums: RowSums, rows: Rows, keys: Tensor
) -> Tensor:
    """var[delta] of the row sum of P * dP: of the weights, of dP, (c u_a)^2 (walk(n) B + steady(n) delta^2), and
    (c u_p)^2 (B + delta^2) of weights that were stored."""
    walk, steady = row_roundings(numerics, problem, keys)
    summed = units.accumulator * (walk * sums.products + steady * rows.delta.square())
    if numerics.backward.weights_of == "stored":
        # Equal weights of a row are rounded alike, and move delta by as much of itself.
        summed += units.probabilities * (sums.products + rows.delta.square())
    return weights + sums.product_variance + summed


def _row_sum_of_output(
    weights: Tensor, units: Units, numerics: Numerics, head: HeadTiles, sums: RowSums, rows: Rows, keys: Tensor
) -> Tensor:
    """var[delta] of the row sum of dO * out, with out as it was rounded: every term that out has, and

    (c u_a)^2 (walk(Dv) / 3 C + steady(Dv) delta^2), with C = sum_d dO^2 out^2 and E = sum_d dO^2 sum_j P^2 v^2.
    """
    problem, moments = head.problem, head.reference.moments
    assert moments is not None
    assert moments.value_square is not None
    delta_square = rows.delta.square()
    out_square = (rows.grad_out * rows.out).square().sum(dim=1)
    value_square = (rows.grad_out.square() * moments.value_square[rows.where].double()).sum(dim=1)

    walk, steady = roundings(keys, longest_chain(numerics, problem, keys))
    output_sums = units.accumulator * (walk * value_square + steady * out_square)
    row_walk, row_steady = dot_roundings(problem.value_dim, problem, numerics)
    row_sum = units.accumulator * (row_walk * out_square + row_steady * delta_square)
    rounded = units.probabilities * sums.products + units.result * out_square
    rounded = rounded + (units.operands + units.values + units.parts) * value_square + units.parts * out_square
    variance = weights + output_sums + row_sum + rounded
    if numerics.stored_accumulator is not None:
        tiles = (keys / numerics.tile).ceil()
        walk, steady = roundings(tiles, tiles)
        stored = variance_of(numerics.stored_accumulator, problem)
        variance += stored * (walk * value_square + (steady + 1) * out_square)
    if numerics.split:
        # Splits are merged through their LSE: 2 (c u lse)^2, as of the output.
        variance += 2 * variance_of(None, problem) * rows.lse.square() * delta_square
    return variance
