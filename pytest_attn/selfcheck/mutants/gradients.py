"""Bugs of the backward pass alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.backward_loop import BackwardLoop, Kept
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant


@plant("delta")
class DeltaMissing(BackwardLoop):
    """The score gradient dS is P * dP: the row sum of dO * out is not subtracted."""

    def score_gradients(self, weights: Tensor, products: Tensor, delta: Tensor) -> Tensor:
        return weights * products


@plant("delta")
class DeltaAdded(BackwardLoop):
    """The row sum of dO * out is added, not subtracted."""

    def score_gradients(self, weights: Tensor, products: Tensor, delta: Tensor) -> Tensor:
        return weights * (products + delta)


@plant("delta")
class DeltaOfNextHead(BackwardLoop):
    """The row sum delta is read at the place of the next head, as if it lay as the output does (aiter #2808)."""

    def delta(self, inputs: Inputs, forward: Output) -> Tensor:
        return super().delta(inputs, forward).roll(-1, dims=1)


@plant("delta")
class DeltaOfFirstTile(BackwardLoop):
    """Every tile of queries reads the delta of the first (flash-attention b3f1b6a5)."""

    def load_delta(self, kept: Kept, lane: Lane, rows: range) -> Tensor:
        return super().load_delta(kept, lane, range(len(rows)))


@plant("delta")
class DeltaInInputType(BackwardLoop):
    """The row sum delta is kept in bfloat16."""

    def delta(self, inputs: Inputs, forward: Output) -> Tensor:
        return super().delta(inputs, forward).bfloat16().float()


@plant("lse order")
class BackwardLseOfFirstTile(BackwardLoop):
    """Every tile of queries reads the LSE of the first (flash-attention b3f1b6a5)."""

    def load_lse(self, kept: Kept, lane: Lane, rows: range) -> Tensor:
        return super().load_lse(kept, lane, range(len(rows)))


@plant("lse base")
class BackwardWeightsInBaseTwo(BackwardLoop):
    """P is 2^(s - lse), of logits that were not multiplied with log2(e) (FlashInfer #787)."""

    def weights(self, scores: Tensor, lse: Tensor) -> Tensor:
        return super().weights(scores * math.log(2), lse * math.log(2))


@plant("scale")
class ScaleMissingInDq(BackwardLoop):
    """The gradient of the query is not multiplied with the scale."""

    def add_dq(self, problem: Problem, score_gradients: Tensor, key: Tensor) -> Tensor:
        return score_gradients @ key


@plant("scale")
class ScaleMissingInDk(BackwardLoop):
    """The gradient of the key is not multiplied with the scale."""

    def add_dk(self, problem: Problem, score_gradients: Tensor, query: Tensor, weights: Tensor) -> Tensor:
        return score_gradients.mT @ query


@plant("scale")
class BackwardScaleOfHeadDim(BackwardLoop):
    """The backward pass takes 1 / sqrt(head_dim), whatever the scale was (FlashInfer #1072)."""

    def backward_scores(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return query @ key.mT / math.sqrt(problem.head_dim)


@plant("causal diagonal")
class BackwardDiagonalOneTooFar(BackwardLoop):
    """P of the next key is not hidden in the backward pass."""

    def backward_later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return super().backward_later(problem, query + 1, key)


@plant("causal diagonal")
class BackwardDiagonalOneShort(BackwardLoop):
    """A query's own key is hidden in the backward pass."""

    def backward_later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return super().backward_later(problem, query - 1, key)


@plant("leaked keys")
class DvOfUnmaskedWeights(BackwardLoop):
    """P is not hidden by the causal mask in the backward pass."""

    def backward_later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return torch.zeros_like(super().backward_later(problem, query, key))


@plant("tail")
class BackwardPaddingScoresZero(BackwardLoop):
    """Padding keys score 0, and exp(0 - lse) overflows (PyTorch #196678)."""

    def backward_beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return torch.zeros_like(super().backward_beyond(problem, keys, key))


@plant("tail")
class BackwardLastKeyTileDropped(BackwardLoop):
    """The last tile of keys is left out of the backward pass."""

    def backward_key_tiles(self, problem: Problem, lane: Lane, rows: range) -> list[range]:
        return super().backward_key_tiles(problem, lane, rows)[:-1]


@plant("tail")
class LastQueryTileGivesNothing(BackwardLoop):
    """A last tile of queries that is not full gives no gradients (Lightning Attention #28)."""

    def backward_key_tiles(self, problem: Problem, lane: Lane, rows: range) -> list[range]:
        return super().backward_key_tiles(problem, lane, rows) if len(rows) == self.query_tile else []


@plant("head mapping")
class LastHeadOfGroupAlone(BackwardLoop):
    """Gradients of key and value are those of the last query head of a group, not their sum."""

    def sum_group(self, problem: Problem, gradient: Tensor) -> Tensor:
        return gradient[:, problem.group - 1 :: problem.group]


@plant("head mapping")
class GroupSummedByModulo(BackwardLoop):
    """Query head h adds to key head h % Hkv (native-sparse-attention-triton #27)."""

    def sum_group(self, problem: Problem, gradient: Tensor) -> Tensor:
        batches, _, keys, dim = gradient.shape
        return gradient.view(batches, problem.group, problem.key_heads, keys, dim).sum(dim=1)


@plant("precision")
class ScoreGradientsInBfloat16(BackwardLoop):
    """The score gradient dS is rounded to bfloat16, whatever the input type."""

    def rounded_score_gradients(self, problem: Problem, score_gradients: Tensor) -> Tensor:
        return score_gradients.bfloat16().float()


@plant("precision")
class RunningGradientsInBfloat16(BackwardLoop):
    """Gradients are kept in bfloat16 between the tiles."""

    def new_gradient(self, *shape: int) -> Tensor:
        return super().new_gradient(*shape).bfloat16()


@plant("unwritten rows")
class GradientsNotZeroed(BackwardLoop):
    """Tiles are added to memory that nobody has set to zero (flash-attention #2421)."""

    def new_gradient(self, *shape: int) -> Tensor:
        return torch.empty(shape)


@plant("strides")
class GradOutTakenForContiguous(BackwardLoop):
    """The gradient of the output is read with the strides of the output (flash-attention 9ee0ff1d)."""

    def load_grad_out(self, problem: Problem, inputs: Inputs, lane: Lane, rows: range) -> Tensor:
        assert inputs.grad_out is not None
        _, heads, length, dim = problem.out_shape
        strides = (heads * length * dim, length * dim, dim, 1)
        wrong = inputs.grad_out.as_strided(problem.out_shape, strides)
        return wrong[lane.batches, lane.heads, rows.start : rows.stop].float()


@plant("head dim")
class HalfOfValueInDp(BackwardLoop):
    """The product dP sees the first half of the values' head dim (flash-linear-attention #941)."""

    def weight_gradients(self, grad_out: Tensor, value: Tensor) -> Tensor:
        half = -(-value.shape[3] // 2)
        return grad_out[..., :half] @ value[..., :half].mT


@plant("null")
class DkOfWeights(BackwardLoop):
    """The gradient of the key is made of P in the place of dS (flash-attention #2341)."""

    def add_dk(self, problem: Problem, score_gradients: Tensor, query: Tensor, weights: Tensor) -> Tensor:
        return super().add_dk(problem, weights, query, weights)


@plant("stale state")
class TilesInAnotherOrderEachCall(BackwardLoop):
    """The order in which tiles are added differs from call to call (flash-attention ea38d3d2)."""

    def new_gradient(self, *shape: int) -> Tensor:
        self.key_tile = {64: 32, 32: 64}[self.key_tile]
        return super().new_gradient(*shape)
