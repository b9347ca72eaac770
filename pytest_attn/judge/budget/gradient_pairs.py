"""Pairs of query and key in a backward pass: how far P, dP and dS of each may be off.

The derivation is the docstring of `pytest_attn.judge.budget.gradient_rounding`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.judge.budget.gradient_units import Units, dot_roundings
from pytest_attn.judge.budget.partial_sums import channels_differ, random_parts
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.gradient_tiles import HeadTiles, Rows, Tile
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.slabs import gather
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of a tile, all `[rows, keys]`; the roundings of P and dS before their products are not in it.

    `score_gradients`: dS = P (dP - delta). `logit_variance`: tau^2 P^2, of P by the error of its logit;
    `product_variance`: P^2 var[dP]; `score_variance`: (tau^2 + 2 (c u_a)^2) dS^2 + P^2 var[dP], and (c u_p)^2 dS^2
    where P is taken as it was stored.
    """

    score_gradients: Tensor
    logit_variance: Tensor
    product_variance: Tensor
    score_variance: Tensor

    @staticmethod
    def of(units: Units, numerics: Numerics, head: HeadTiles, rows: Rows, tile: Tile) -> Pairs:
        """The pairs of one tile."""
        probability_square = tile.probabilities.square()
        score_gradients = tile.probabilities * (tile.probability_gradients - rows.delta.unsqueeze(1))
        tau_square = _logit_error(units, numerics, head, rows, tile)
        product_variance = probability_square * _product_error(units, numerics, head, rows, tile)
        score_variance = (tau_square + 2 * units.accumulator) * score_gradients.square() + product_variance
        if numerics.backward.weights_of == "stored":
            moved = (tile.probability_gradients - rows.delta.unsqueeze(1)).square()
            score_variance += units.round_probabilities.variance(tile.probabilities) * moved
        return Pairs(
            score_gradients,
            logit_variance=tau_square * probability_square,
            product_variance=product_variance,
            score_variance=score_variance,
        )


def _logit_error(units: Units, numerics: Numerics, head: HeadTiles, rows: Rows, tile: Tile) -> Tensor:
    """tau^2 `[rows, keys]`: the variance of a logit, and so of the relative error of P, of its product and shift."""
    product = product_error(units, numerics, head.problem, rows.query, gather(head.key, tile.spans), tile.scores)
    return product + shift_error(units, tile.scores - shifts(numerics, head.reference, rows).unsqueeze(1))


def product_error(
    units: Units, numerics: Numerics, problem: Problem, query: Tensor, key: Tensor, scores: Tensor
) -> Tensor:
    """The part of tau^2 `[rows, keys]` that is of the product of query `[rows, D]` and key `[keys, D]`, whose logits
    are `scores` s: equal queries have it in common.

    (c u_a)^2 (walk(D) / 3 R + (steady(D) + 1) s^2) + (c u_l)^2 s^2 + (c u_x)^2 s^2 + (e_scale s)^2, and (2 (c u_o)^2 +
    (c u_q)^2) sum_d (scale q_d k_d)^2 where operands are rounded.
    """
    walk, steady = dot_roundings(problem.head_dim, problem, numerics)
    partial_sums = walk * _random_part(query, key) * problem.scale**2
    score_square = scores.square()
    variance = units.accumulator * (partial_sums + (steady + 1) * score_square)
    variance += (units.logits + units.scale) * score_square
    if units.operands or units.query:
        rounded = (2 * units.operands + units.query) * problem.scale**2
        variance += rounded * (query.square() @ key.square().T)
    return variance


def shift_error(units: Units, shifted: Tensor) -> Tensor:
    """The part of tau^2 that follows from what is subtracted, of `shifted` s - shift: ((c u_a)^2 + (c u_y)^2)
    (s - shift)^2 + (e_exp / 2)^2."""
    return (units.accumulator + units.shifted) * shifted.square() + units.exponential


def _random_part(query: Tensor, key: Tensor) -> Tensor:
    """R / scale^2 of the partial sums of query . key, `[rows, keys]` (`pytest_attn.judge.budget.partial_sums`): |q|^2
    |k|^2 / D where no channel is far larger than the others."""
    if channels_differ(query, key):
        return torch.maximum(*random_parts(query, key))
    return _outer_square(query, key) / query.shape[1]


def _product_error(units: Units, numerics: Numerics, head: HeadTiles, rows: Rows, tile: Tile) -> Tensor:
    """var[dP] `[rows, keys]`: (c u_a)^2 (walk(Dv) / 3 |dO|^2 |v|^2 / Dv + steady(Dv) dP^2), (2 (c u_o)^2 + (c u_v)^2)
    sum_d (dO_d v_d)^2 where operands are rounded, and (c u_d)^2 dP^2 where it is stored."""
    problem, value = head.problem, gather(head.value, tile.spans)
    walk, steady = dot_roundings(problem.value_dim, problem, numerics)
    partial_sums = walk / problem.value_dim * _outer_square(rows.grad_out, value)
    variance = units.accumulator * (partial_sums + steady * tile.probability_gradients.square())
    if units.operands or units.values:
        variance += (2 * units.operands + units.values) * (rows.grad_out.square() @ value.square().T)
    if units.round_products is not None:
        variance += units.round_products.variance(tile.probability_gradients)
    return variance


def shifts(numerics: Numerics, reference: Reference, rows: Rows) -> Tensor:
    """What is subtracted from the logits of each row before the exponential, `[rows]`: the LSE, or the maximum."""
    if numerics.backward.weights_of == "lse":
        return rows.lse
    assert reference.moments is not None
    peak = reference.moments.peak[rows.where].to(rows.lse)
    return rows.lse + torch.where(peak > 0, peak, 1.0).log()


def _outer_square(rows: Tensor, keys: Tensor) -> Tensor:
    """|a_i|^2 |b_j|^2 `[rows, keys]` of vectors `[rows, D]` and `[keys, D]`."""
    return torch.outer(rows.square().sum(dim=1), keys.square().sum(dim=1))
