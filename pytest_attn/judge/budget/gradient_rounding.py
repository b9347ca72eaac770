"""The budget of gradients: the error that a correct backward pass of given numerics can show, derived from rounding.

Notation as in `judge/budget/rounding.py`; P = exp(s - lse), dP = dO V^T, delta = rowsum(dO * out), dS = P (dP -
delta), dV = P^T dO, dQ = scale dS K, dK = scale dS^T Q. Every term of these sums has an error of its own, and each row
of queries has two that all its terms share. Their variances are summed over the same tiles as the gradients themselves.

**Of each pair.**

    tau^2 = (c u_a)^2 (walk(D) / 3 |q|^2 |k|^2 scale^2 / D + (steady(D) + 1) s^2 + (s - lse)^2)
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
              + (c u_t)^2 (walk_t A + steady_t g^2)              stored after each but the last of t tiles
              + (c u_g)^2 sum_h g_h^2                            of each query head, before a group is added
              + (c u)^2 g^2 + (e_exp / 2)^2 g^2                  the result; a biased exponential

- A partial sum after the share f of random terms whose whole is g has the mean square f^2 g^2 + f (1 - f) A; summed
  over the tiles, walk_t = (t^2 - 1) / (6 t) and steady_t = (t - 1) (2 t - 1) / (6 t).
- n counts the terms that a mask lets in; of dV, at most those whose dO is not 0, as adding a zero rounds nothing.
- Rows of one query, equal keys and equal LSE have equal P, whose roundings are one error: in var[dV] dO of such a row
  is the root of (sum of dO over its class)^2 / rows of the class, where that is more; in var[dK] the part of dS that
  tau and lambda move is so of dS.
- Operands that are rounded to TF32 (`judge/budget/operands.py`) add (c u_o)^2 2 sum_d (scale q_d k_d)^2 to tau^2,
  (c u_o)^2 2 sum_d (dO_d v_d)^2 to var[dP], (c u_o)^2 E to var[delta] and (c u_o)^2 A to the sums.
- float16 P and dS below 2^-14 are multiples of 2^-24, and lost below 2^-25.
- The LSE of a row moves P of all keys, so that dK and dV may have a mean error of lambda over the root of all rows.
- Where the rows beside one have less than a spacing of a sum P^T dO between them, it is rounded back to that one if dO
  is a power of two there, or P is 1: the mean error of rounding the sums of stored P is systematic
  (`pytest_attn.judge.budget.leading_terms`). One term leads where sums of terms and of their squares agree: g^2 = A.

**Bound.** As of the output: roundings of terms and result come to at most u_p P^T |dO| + u |dV|, and so on.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from pytest_attn.judge.budget.budget import Budget, GradientBudget, GradientErrors, OutBudget
from pytest_attn.judge.budget.chains import longest_chain, roundings, row_roundings
from pytest_attn.judge.budget.gradient_sums import Pairs, Rounding, Sums, Units, dot_roundings, row_variance, term_sums
from pytest_attn.judge.budget.leading_terms import leads, mean_rounding
from pytest_attn.judge.budget.precision import exp_error, is_stored, precision, unit_roundoff, variance_of
from pytest_attn.judge.budget.repeats import repeats
from pytest_attn.judge.budget.row_classes import RowClasses
from pytest_attn.judge.verdict.statistics import largest_deviation, value_rank
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.gradient_tiles import HeadTiles, Rows, add_rows, each_key_head
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import gather
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import seeing_queries, visible_keys
from pytest_attn.problem.problem import Problem


def gradient_budget(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Budget:
    """The budget of the gradients of a kernel of these numerics on this problem; see the module's docstring."""
    assert reference.grads is not None
    pass_ = _Pass(problem, inputs, reference, numerics)
    each_key_head(problem, inputs, reference, torch.float64, pass_.work)
    return Budget(None, None, repeats(problem, inputs), pass_.budget())


class _Pass:
    """The variance of every gradient, summed tile by tile."""

    def __init__(self, problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> None:
        self.problem, self.inputs, self.reference, self.numerics = problem, inputs, reference, numerics
        self.units = Units.of(problem, numerics)
        self.lse_variance = row_variance(problem, inputs, reference, numerics)
        heads = (problem.batch, problem.query_heads)
        self.keys = visible_keys(problem.mask, problem.lengths, *heads).clamp_min(1).double()
        self.queries = seeing_queries(problem.mask, problem.lengths, *heads).clamp_min(1).double()
        self.dq, self.dk, self.dv = (
            Sums(*(torch.zeros(tensor.shape[: 4 if wide else 3], dtype=torch.float64) for wide in (1, 1, 1, 1, 0, 0)))
            for tensor in (inputs.query, inputs.key, inputs.value)
        )
        # Of each query head alone: what its own gradients of key and value come to, squared and summed over the group.
        self.head_squares = {
            n: torch.zeros(t.shape, dtype=torch.float64) for n, t in (("dk", inputs.key), ("dv", inputs.value))
        }
        self.scores = Rounding.to(numerics.backward.score_gradients, problem, numerics, problem.scale)
        self.probabilities = Rounding.to(numerics.probabilities, problem, numerics)
        self.stored_dv = torch.zeros(inputs.value.shape, dtype=torch.float64)
        self.row_repeats = 1.0

    def work(self, head: HeadTiles) -> None:
        """One key head."""
        where = (head.batch, head.key_head)
        dk, dv = (Sums(*(tensor[where] for tensor in sums)) for sums in (self.dk, self.dv))
        alone: dict[int, tuple[Tensor, Tensor]] = {}
        classes = {
            index: RowClasses.of(self.problem, self.inputs, self.reference, head.batch, index) for index in _group(head)
        }
        for rows in head.rows:
            index = rows.slab.head
            shared = classes[index].of_rows(rows)
            self.row_repeats = max(self.row_repeats, float(shared.count.max()))
            own_dk, own_dv = alone.setdefault(index, (torch.zeros_like(head.key), torch.zeros_like(head.value)))
            self._rows(head, rows, dk, dv, shared, (own_dk, own_dv))
        for own_dk, own_dv in alone.values():
            self.head_squares["dk"][where] += own_dk.square()
            self.head_squares["dv"][where] += own_dv.square()

    def _rows(
        self,
        head: HeadTiles,
        rows: Rows,
        dk: Sums,
        dv: Sums,
        classes: RowClasses,
        alone: tuple[Tensor, Tensor],
    ) -> None:
        problem, units = self.problem, self.units
        delta = self._delta_variance(head, rows)
        lse = self.lse_variance[rows.where]
        dq = Sums(*(tensor[rows.where] for tensor in self.dq))
        mean_key = torch.zeros_like(rows.query)
        scale = problem.scale
        for tile in head.tiles(rows):
            pairs = Pairs.of(problem, units, self.numerics, head, rows, tile)
            weights, square = tile.weights, tile.weights.square()
            gradient_square = pairs.score_gradients.square()
            key = gather(head.key, tile.group)
            terms, own = pairs.score_gradients * scale, pairs.own * scale**2
            dq.add(None, term_sums(terms, self.scores, own, key))
            mean_key += weights @ key
            coherent = scale**2 * (square * delta.unsqueeze(1) + gradient_square * lse.unsqueeze(1))
            alike = pairs.weight + square * lse.unsqueeze(1)
            more = classes.more_shared(tile.products, rows.delta, gather(head.value, tile.group))
            own = own + coherent + scale**2 * alike * more
            dk.add(tile, term_sums(terms.T, self.scores, own.T, rows.query))
            dv.add(
                tile, term_sums(weights.T, self.probabilities, alike.T, rows.grad_out, classes.grad_out, classes.count)
            )
            stored = weights.to(precision(self.numerics.probabilities, problem)).to(weights.dtype)
            add_rows(self.stored_dv[head.batch, head.key_head], tile.group, stored.T @ rows.grad_out)
            if problem.group > 1:
                add_rows(alone[0], tile.group, terms.T @ rows.query)
                add_rows(alone[1], tile.group, weights.T @ rows.grad_out)
        shift = scale**2 * delta.unsqueeze(1) * mean_key.square()
        assert self.reference.grads is not None
        scaled = lse.unsqueeze(1) * self.reference.grads.dq[rows.where].double().square()
        for coherent in (shift, scaled):
            size = coherent.sum(dim=1)
            zero = torch.zeros_like(coherent)
            dq.add(None, Sums(zero, coherent, zero, zero, size, size))

    def _delta_variance(self, head: HeadTiles, rows: Rows) -> Tensor:
        """var[delta] of some rows."""
        problem, units, numerics = self.problem, self.units, self.numerics
        moved, products, errors = (torch.zeros_like(rows.lse) for _ in range(3))
        for tile in head.tiles(rows):
            pairs = Pairs.of(problem, units, numerics, head, rows, tile)
            shifted = (tile.products - rows.delta.unsqueeze(1)).square()
            moved += (pairs.weight * shifted).sum(dim=1)
            products += (tile.weights * tile.products).square().sum(dim=1)
            errors += pairs.product.sum(dim=1)
        keys = self.keys[rows.where]
        delta_square = rows.delta.square()
        variance = moved + self.lse_variance[rows.where] * delta_square
        if numerics.backward.delta_of == "probabilities":
            walk, steady = row_roundings(numerics, problem, keys)
            return variance + errors + units.sums * (walk * products + steady * delta_square)
        assert self.reference.moments is not None
        assert self.reference.moments.value_square is not None
        out_square = (rows.grad_out * rows.out).square().sum(dim=1)
        value_square = (rows.grad_out.square() * self.reference.moments.value_square[rows.where].double()).sum(dim=1)
        walk, steady = roundings(keys, longest_chain(numerics, problem, keys))
        walk_out, steady_out = dot_roundings(problem.value_dim, problem, numerics)
        variance += units.sums * (walk * value_square + steady * out_square)
        variance += units.sums * (walk_out * out_square + steady_out * delta_square)
        variance += units.probabilities * products + units.operands * value_square + units.result * out_square
        if numerics.stored_accumulator is not None:
            stored = variance_of(numerics.stored_accumulator, problem)
            walk, steady = roundings(*[(keys / numerics.tile).ceil()] * 2)
            variance += stored * (walk * value_square + (steady + 1) * out_square)
        if numerics.split:
            variance += 2 * variance_of(None, problem) * rows.lse.square() * delta_square
        return variance

    def budget(self) -> GradientBudget:
        """What the sums come to."""
        problem, backward = self.problem, self.numerics.backward
        assert self.reference.grads is not None
        assert self.inputs.grad_out is not None
        dq, dk, dv = (tensor.double() for tensor in self.reference.grads)
        by_key = self.queries.view(problem.batch, problem.key_heads, problem.group, -1)
        together = by_key.sum(dim=2)
        keys = float(repeats(problem, self.inputs).max())
        stores = is_stored(backward.stored_gradients, problem)
        query_tiles = _tiles(problem, backward.query_tile, of_queries=True) if stores else torch.ones_like(self.queries)
        query_tiles = query_tiles.view_as(by_key).amax(dim=2)
        ranks = {"dq": self.inputs.key, "dk": self.inputs.query, "dv": self.inputs.grad_out}
        rank = {name: value_rank(tensor.cpu()) for name, tensor in ranks.items()}
        rank["dq"] = rank["dq"].repeat_interleave(problem.group, dim=1)
        for name in ("dk", "dv"):
            rank[name] = rank[name].view(problem.batch, problem.key_heads, problem.group).amax(dim=2)
        squares = self.head_squares if problem.group > 1 else {"dk": dk.square(), "dv": dv.square()}
        key_tiles = _tiles(problem, backward.key_tile, of_queries=False) if stores else torch.ones_like(self.keys)
        scores, probabilities = self.scores.unit, self.probabilities.unit
        rows = max(keys, self.row_repeats)
        shape = (problem.batch, problem.key_heads, problem.group, problem.value_dim)
        present = (self.inputs.grad_out.cpu() != 0).sum(dim=2).double().view(shape).sum(dim=2)
        added = torch.minimum(together.unsqueeze(3), present.unsqueeze(2)).clamp_min(1)
        return GradientBudget(
            self._errors(self.dq, dq, None, self.keys.unsqueeze(3), key_tiles, scores, rank["dq"], keys),
            self._errors(self.dk, dk, squares["dk"], together.unsqueeze(3), query_tiles, scores, rank["dk"], keys),
            self._led(
                self._errors(self.dv, dv, squares["dv"], added, query_tiles, probabilities, rank["dv"], rows), dv
            ),
        )

    def _led(self, errors: GradientErrors, dv: Tensor) -> GradientErrors:
        """The errors of dV with the mean that sums led by one term give them."""
        allowed, square, dtype = errors.allowed, dv.square(), self.problem.dtype
        others = (square - self.dv.terms).abs() / (2 * square).clamp_min(torch.finfo(torch.float64).tiny)
        mean = mean_rounding(dv, self.stored_dv, leads(others, dtype), allowed.sigma, dtype)
        return replace(errors, allowed=replace(allowed, systematic=allowed.systematic + mean))

    def _errors(
        self,
        sums: Sums,
        gradient: Tensor,
        head_square: Tensor | None,
        count: Tensor,
        tiles: Tensor,
        unit: float,
        rank: Tensor,
        repeated: float,
    ) -> GradientErrors:
        problem, units = self.problem, self.units
        grid = float(torch.finfo(problem.dtype).smallest_normal * torch.finfo(problem.dtype).eps)
        square = gradient.square()
        alone = square if head_square is None else head_square
        walk, steady = roundings(count, longest_chain(self.numerics, problem, count))
        steps = tiles.unsqueeze(3).clamp_min(1)
        sigma = sums.own + units.sums * (walk / 3 * sums.terms + (steady + 1) * square) + units.common * square
        sigma += units.operands * sums.terms
        bridge = (steps.square() - 1) / (6 * steps) * sums.terms
        sigma += units.stored * (bridge + (steps - 1) * (2 * steps - 1) / (6 * steps) * alone)
        if head_square is not None:
            sigma += units.grouped * head_square
        result = units.result * square
        if is_stored(self.numerics.backward.stored_gradients, problem):
            # What a tile adds may be less than the spacing of the result's type, and be lost after every one alike.
            sigma += (steps.square() - 1) * grid**2 / 12
        if head_square is not None and problem.group > 1:
            sigma += problem.group * grid**2 / 12
        rest = sigma.sqrt()
        sigma = sigma + sums.rounded + result + grid**2 / 12
        bound = sums.bound + unit_roundoff(problem.dtype) * gradient.abs() + grid / 2
        tiny = torch.finfo(torch.float32).tiny
        systematic = exp_error(problem, self.numerics) + unit**2 + unit_roundoff(problem.dtype) ** 2
        systematic += largest_deviation(1) * float(self.lse_variance.sum()) ** 0.5 / self.lse_variance.numel()
        allowed = OutBudget(sigma.sqrt().clamp_min(tiny), rest, bound.clamp_min(tiny), systematic)
        independent = sums.total + result.sum(dim=3)
        largest = torch.maximum(sums.largest, result.amax(dim=3)).clamp_min(torch.finfo(torch.float32).tiny)
        errors = (independent / largest).clamp_min(1.0)
        return GradientErrors(allowed, 1.0 / (1.0 / errors + 1.0 / rank.unsqueeze(2).double()), repeated)


def _tiles(problem: Problem, size: int, *, of_queries: bool) -> Tensor:
    """How many tiles of so many queries each key is seen by, `[B, Hq, Skv]`; or tiles of so many keys each query sees,
    `[B, Hq, Sq]`."""
    lengths = problem.lengths
    cut, whole = (lengths.query, lengths.key) if of_queries else (lengths.key, lengths.query)
    found = torch.zeros(problem.batch, problem.query_heads, whole, dtype=torch.float64)
    for batch, head, start in product(range(problem.batch), range(problem.query_heads), range(0, cut, size)):
        tile = range(start, min(start + size, cut))
        rows, keys = (tile, range(whole)) if of_queries else (range(whole), tile)
        found[batch, head] += problem.mask.allowed(lengths, batch, head, rows, keys).any(dim=0 if of_queries else 1)
    return found.clamp_min(1.0)


def _group(head: HeadTiles) -> range:
    first = head.key_head * head.problem.group
    return range(first, first + head.problem.group)
