"""The pass over the tiles of a backward pass that sums the errors of its gradients.

The derivation is the docstring of `pytest_attn.judge.budget.gradient_rounding`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.judge.budget.gradient_pairs import Pairs
from pytest_attn.judge.budget.gradient_rows import delta_variance, row_variance, scale_shift
from pytest_attn.judge.budget.gradient_sums import GradientSums, term_sums
from pytest_attn.judge.budget.gradient_units import Units
from pytest_attn.judge.budget.precision import precision
from pytest_attn.judge.budget.row_classes import RowClasses
from pytest_attn.judge.budget.shared_logits import shared_logits
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.gradient_tiles import HeadTiles, Rows, Tile, add_rows, each_key_head
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.slabs import gather
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import visible_keys
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class GradientPass:
    """What the pass over the tiles needs to know beside the tiles.

    `lse_variance` lambda^2 and `keys` n, at least 1, are of every row, `[B, Hq, Sq]` float64; `scale_shift`: how far
    a rounded scale moves all gradients, relative to them.
    """

    problem: Problem
    inputs: Inputs
    reference: Reference
    numerics: Numerics
    units: Units
    lse_variance: Tensor
    keys: Tensor
    scale_shift: float

    @staticmethod
    def of(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> GradientPass:
        """The pass for a kernel of these numerics; the reference has output, LSE, moments and gradients."""
        keys = visible_keys(problem.mask, problem.lengths, problem.batch, problem.query_heads)
        return GradientPass(
            problem,
            inputs,
            reference,
            numerics,
            Units.of(problem, numerics),
            lse_variance=row_variance(problem, inputs, reference, numerics),
            keys=keys.clamp_min(1).double(),
            scale_shift=scale_shift(problem, inputs, reference, numerics),
        )

    def sums(self) -> GradientSums:
        """The sums over all tiles."""
        sums = GradientSums.zeros(self.inputs)
        each_key_head(
            self.problem, self.inputs, self.reference, torch.float64, lambda head: self._add_key_head(sums, head)
        )
        return sums

    def _add_key_head(self, sums: GradientSums, head: HeadTiles) -> None:
        """Add the tiles of one key head."""
        where = (head.batch, head.key_head)
        classes = RowClasses.of(self.problem, self.inputs, self.reference, head.batch, head.key_head)
        own_heads = (head.batch, slice(head.query_heads.start, head.query_heads.stop))
        sums.equal_rows[own_heads] = classes.count.max()
        for query_head in head.query_heads:
            own = _HeadGradients(torch.zeros_like(head.key), torch.zeros_like(head.value))
            for rows in head.rows(query_head):
                self._add_rows(sums, own, head, rows, self._row_errors(head, rows, classes))
            sums.dk_head_square[where] += own.dk.square()
            sums.dv_head_square[where] += own.dv.square()
        for shared in shared_logits(self.units, self.numerics, head, classes):
            sums.dk.at(where).add_shared(shared.dk, shared.dk_whole)
            sums.dv.at(where).add_shared(shared.dv, shared.dv_whole)
            sums.equal_rows[own_heads] = sums.equal_rows[own_heads].clamp_min(shared.rows)

    def _row_errors(self, head: HeadTiles, rows: Rows, classes: RowClasses) -> _RowErrors:
        """The errors of some rows of a head with these classes of equal rows."""
        lse_variance, keys = self.lse_variance[rows.where], self.keys[rows.where]
        of_delta = delta_variance(self.units, self.numerics, head, rows, lse_variance=lse_variance, keys=keys)
        return _RowErrors(lse_variance, of_delta, classes.of_rows(self.problem, rows))

    def _add_rows(
        self, sums: GradientSums, own: _HeadGradients, head: HeadTiles, rows: Rows, errors: _RowErrors
    ) -> None:
        """Add the tiles of some rows, and to dQ scale^2 var[delta] (P K)^2 + lambda^2 dQ^2, which all keys share."""
        mean_key = torch.zeros_like(rows.query)
        for tile in head.tiles(rows):
            self._add_tile(sums, own, head, rows, errors, tile)
            mean_key += tile.probabilities @ gather(head.key, tile.spans)
        assert self.reference.grads is not None
        dq, dq_sums = self.reference.grads.dq[rows.where].double(), sums.dq.at(rows.where)
        dq_sums.add_shared(self.problem.scale**2 * errors.delta_variance.unsqueeze(1) * mean_key.square())
        dq_sums.add_shared(errors.lse_variance.unsqueeze(1) * dq.square())

    def _add_tile(
        self, sums: GradientSums, own: _HeadGradients, head: HeadTiles, rows: Rows, errors: _RowErrors, tile: Tile
    ) -> None:
        """Add the terms of one tile."""
        units, scale, where = self.units, self.problem.scale, (head.batch, head.key_head)
        pairs = Pairs.of(units, self.numerics, head, rows, tile)
        scores, probabilities = pairs.score_gradients * scale, tile.probabilities

        dq_variance = scale**2 * pairs.score_variance
        key = gather(head.key, tile.spans)
        sums.dq.at(rows.where).add(term_sums(scores, units.round_scores, dq_variance, key))

        dv_variance = errors.of_probabilities(tile, pairs)
        more_shared = errors.classes.more_shared(tile.probability_gradients, rows.delta, gather(head.value, tile.spans))
        dk_variance = dq_variance + scale**2 * errors.of_scores(tile, pairs) + scale**2 * dv_variance * more_shared
        sums.dk.at(where).add(term_sums(scores.T, units.round_scores, dk_variance.T, rows.query), tile.spans)

        dv_terms = term_sums(
            probabilities.T,
            units.round_probabilities,
            dv_variance.T,
            rows.grad_out,
            class_vectors=errors.classes.grad_out,
            class_sizes=errors.classes.count,
        )
        sums.dv.at(where).add(dv_terms, tile.spans)
        stored = probabilities.to(precision(self.numerics.probabilities, self.problem)).double()
        add_rows(sums.stored_dv[where], tile.spans, stored.T @ rows.grad_out)
        if self.problem.group > 1:
            add_rows(own.dk, tile.spans, scores.T @ rows.query)
            add_rows(own.dv, tile.spans, probabilities.T @ rows.grad_out)


@dataclass(frozen=True, eq=False)
class _HeadGradients:
    """What one query head contributes to `dk` `[Skv, D]` and `dv` `[Skv, Dv]`; left at 0 where no group shares them."""

    dk: Tensor
    dv: Tensor


@dataclass(frozen=True, eq=False)
class _RowErrors:
    """Errors that all terms of a row share: `lse_variance` lambda^2 and `delta_variance` var[delta], `[rows]`; and
    those that equal rows share."""

    lse_variance: Tensor
    delta_variance: Tensor
    classes: RowClasses

    def of_probabilities(self, tile: Tile, pairs: Pairs) -> Tensor:
        """(tau^2 + lambda^2) P^2 `[rows, keys]`: the variance of P before it is rounded."""
        return pairs.logit_variance + tile.probabilities.square() * self.lse_variance.unsqueeze(1)

    def of_scores(self, tile: Tile, pairs: Pairs) -> Tensor:
        """P^2 var[delta] + lambda^2 dS^2 `[rows, keys]`: the variance that the row gives dS."""
        of_delta = tile.probabilities.square() * self.delta_variance.unsqueeze(1)
        return of_delta + pairs.score_gradients.square() * self.lse_variance.unsqueeze(1)
