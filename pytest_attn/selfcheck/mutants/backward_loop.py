"""A correct backward pass in named steps, behind the forward of the tile loop; a mutant overrides one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Causal
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop


class Kept(NamedTuple):
    """What the forward pass leaves to the backward one: lse and delta, both `[B, Hq, Sq, 1]` float32."""

    lse: Tensor
    delta: Tensor


class BackwardLoop(TileLoop):
    """Flash attention with gradients: P = exp(s - lse) is computed anew, tile by tile.

    Steps, in order: those of the forward pass, `delta`, `backward_key_tiles`, `load_grad_out`, `load_lse`,
    `load_delta`, `backward_scores`, `backward_mask`, `weights`, `weight_gradients`, `score_gradients`,
    `rounded_score_gradients`, `add_dv`, `add_dq`, `add_dk`, `sum_group`.
    """

    capabilities = replace(TileLoop.capabilities, backward=True)

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        """The forward pass and, where asked for, the backward one."""
        if not problem.wants_grad:
            return super().run(problem, inputs)
        forward = self.forward(problem, inputs)
        return replace(forward, lse=None, grads=self.gradients(problem, inputs, forward))

    def forward(self, problem: Problem, inputs: Inputs) -> Output:
        """The forward pass, with its LSE."""
        return super().run(replace(problem, ask="both"), inputs)

    def gradients(self, problem: Problem, inputs: Inputs, forward: Output) -> Gradients:
        """The whole backward pass."""
        return Gradients(*(each.to(problem.dtype) for each in self.summed_gradients(problem, inputs, forward)))

    def summed_gradients(self, problem: Problem, inputs: Inputs, forward: Output) -> Gradients:
        """The backward pass before its results are rounded: sums in float32, those of key and value for each query head
        apart."""
        assert inputs.grad_out is not None
        assert forward.lse is not None
        kept = Kept(forward.lse.unsqueeze(3), self.delta(inputs, forward))
        heads = (problem.batch, problem.query_heads)
        dq = self.new_gradient(*heads, problem.query_length, problem.head_dim)
        dk = self.new_gradient(*heads, problem.key_length, problem.head_dim)
        dv = self.new_gradient(*heads, problem.key_length, problem.value_dim)
        for lane in self.lanes(problem):
            for rows in self.query_tiles(problem):
                for keys in self.backward_key_tiles(problem, lane, rows):
                    self.add_tile(problem, inputs, kept, Gradients(dq, dk, dv), lane, rows, keys)
        return Gradients(dq, self.sum_group(problem, dk), self.sum_group(problem, dv))

    def add_tile(
        self,
        problem: Problem,
        inputs: Inputs,
        kept: Kept,
        sums: Gradients,
        lane: Lane,
        rows: range,
        keys: range,
    ) -> None:
        """Add what one tile of queries and keys comes to."""
        query, grad_out = self.load_query(problem, inputs, lane, rows), self.load_grad_out(problem, inputs, lane, rows)
        key, value = self.load_key(problem, inputs, lane, keys), self.load_value(problem, inputs, lane, keys)
        scores = self.backward_mask(problem, self.backward_scores(problem, query, key), lane, rows, keys)
        weights = self.weights(scores, self.load_lse(kept, lane, rows))
        products = self.weight_gradients(grad_out, value)
        score_gradients = self.score_gradients(weights, products, self.load_delta(kept, lane, rows))
        rounded = self.rounded_score_gradients(problem, score_gradients)
        stop = min(keys.start + self.key_tile, problem.key_length)
        by_row = (lane.batches, lane.heads, slice(rows.start, rows.stop))
        by_key, count = (lane.batches, lane.heads, slice(keys.start, stop)), max(stop - keys.start, 0)
        sums.dv[by_key] += self.add_dv(self.probabilities(problem, weights), grad_out)[:, :, :count]
        sums.dq[by_row] += self.add_dq(problem, rounded, key)
        sums.dk[by_key] += self.add_dk(problem, rounded, query, weights)[:, :, :count]

    # Before the tiles

    def delta(self, inputs: Inputs, forward: Output) -> Tensor:
        """The row sum of grad_out * out, `[B, Hq, Sq, 1]` float32, of the output as it was rounded."""
        assert inputs.grad_out is not None
        return (inputs.grad_out.float() * forward.out.float()).sum(dim=3, keepdim=True)

    def new_gradient(self, *shape: int) -> Tensor:
        """A running gradient, of zeros."""
        return torch.zeros(shape)

    def backward_key_tiles(self, problem: Problem, lane: Lane, rows: range) -> list[range]:
        """The key tiles of some rows; see `key_tiles`."""
        return self.key_tiles(problem, lane, rows)

    # Of a tile

    def load_grad_out(self, problem: Problem, inputs: Inputs, lane: Lane, rows: range) -> Tensor:
        """Rows of the gradient of the output, float32."""
        assert inputs.grad_out is not None
        return inputs.grad_out[lane.batches, lane.heads, rows.start : rows.stop].float()

    def load_lse(self, kept: Kept, lane: Lane, rows: range) -> Tensor:
        """The LSE of some rows, `[B, H, rows, 1]`."""
        return kept.lse[lane.batches, lane.heads, rows.start : rows.stop]

    def load_delta(self, kept: Kept, lane: Lane, rows: range) -> Tensor:
        """delta of some rows, `[B, H, rows, 1]`."""
        return kept.delta[lane.batches, lane.heads, rows.start : rows.stop]

    def backward_scores(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        """Scaled logits `[B, H, rows, tile]`."""
        return query @ key.mT * problem.scale

    def backward_mask(self, problem: Problem, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        """Logits with what may not be attended to hidden."""
        key = self.positions(range(keys.start, keys.start + self.key_tile))
        hidden = self.backward_beyond(problem, keys, key)
        if isinstance(problem.mask, Causal):
            hidden = hidden | self.backward_later(problem, self.positions(rows).unsqueeze(1), key)
        return scores.masked_fill(hidden, self.backward_hidden_logit())

    def backward_beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        """See `beyond`."""
        return self.beyond(problem, keys, key)

    def backward_later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        """See `later`."""
        return self.later(problem, query, key)

    def backward_hidden_logit(self) -> float:
        """See `hidden_logit`."""
        return -torch.inf

    def weights(self, scores: Tensor, lse: Tensor) -> Tensor:
        """P = exp(s - lse)."""
        return (scores - self.shift(lse)).exp()

    def weight_gradients(self, grad_out: Tensor, value: Tensor) -> Tensor:
        """dP = dO V^T."""
        return grad_out @ value.mT

    def score_gradients(self, weights: Tensor, products: Tensor, delta: Tensor) -> Tensor:
        """dS = P * (dP - delta)."""
        return weights * (products - delta)

    def rounded_score_gradients(self, problem: Problem, score_gradients: Tensor) -> Tensor:
        """dS as its products take it: rounded to the input type."""
        return score_gradients.to(problem.dtype).float()

    def add_dv(self, weights: Tensor, grad_out: Tensor) -> Tensor:
        """P^T dO."""
        return weights.mT @ grad_out

    def add_dq(self, problem: Problem, score_gradients: Tensor, key: Tensor) -> Tensor:
        """scale dS K."""
        return score_gradients @ key * problem.scale

    def add_dk(self, problem: Problem, score_gradients: Tensor, query: Tensor, weights: Tensor) -> Tensor:
        """scale dS^T Q."""
        return score_gradients.mT @ query * problem.scale

    # After the tiles

    def sum_group(self, problem: Problem, gradient: Tensor) -> Tensor:
        """The gradient of each key head `[B, Hkv, Skv, D]` from those of its query heads."""
        batches, _, keys, dim = gradient.shape
        return gradient.view(batches, problem.key_heads, problem.group, keys, dim).sum(dim=2)
