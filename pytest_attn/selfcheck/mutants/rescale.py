"""The online softmax and the merge of splits: what is rescaled when the maximum grows, and what is summed."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import Part, State, TileLoop


@plant("rescale")
class AccNotRescaled(TileLoop):
    """The weighted values keep the old maximum (aiter #4216)."""

    def rescale_acc(self, acc: Tensor, decay: Tensor) -> Tensor:
        return acc


@plant("rescale")
class TotalNotRescaled(TileLoop):
    """The sum of weights keeps the old maximum."""

    def rescale_total(self, total: Tensor, decay: Tensor) -> Tensor:
        return total


@plant("rescale")
class RescaleSkippedWhereSmall(TileLoop):
    """A rescale of less than 2^8 is left out, and the new maximum is taken all the same."""

    def decay(self, state: State, shift: Tensor) -> Tensor:
        decay = super().decay(state, shift)
        return torch.where(decay > 2.0**-8, 1.0, decay)


@plant("rescale")
class DecayInBaseTwo(TileLoop):
    """The rescale is 2^x where the weights are e^x."""

    def decay(self, state: State, shift: Tensor) -> Tensor:
        return (state.maximum - shift).exp2()


@plant("rescale")
class MaximumStartsAtZero(TileLoop):
    """The maximum starts at 0: logits far below it all underflow (FlashInfer #27)."""

    def start(self, query: Tensor, problem: Problem) -> State:
        state = super().start(query, problem)
        return State(torch.zeros_like(state.maximum), state.total, state.acc)


@plant("rescale")
class TotalStartsAtOne(TileLoop):
    """The sum of weights starts at 1, as if a key of logit 0 had been seen (FlashInfer #27)."""

    def start(self, query: Tensor, problem: Problem) -> State:
        state = super().start(query, problem)
        return State(torch.zeros_like(state.maximum), torch.ones_like(state.total), state.acc)


@plant("rescale")
class RowSumOfHalfTheLanes(TileLoop):
    """The sum of weights is reduced over every other lane (FlashInfer #3838)."""

    def row_sum(self, weights: Tensor) -> Tensor:
        return super().row_sum(weights[..., ::2])


@plant("rescale")
class RowSumWithoutLastVector(TileLoop):
    """The last four weights of a tile are not summed, but their values are."""

    def row_sum(self, weights: Tensor) -> Tensor:
        return super().row_sum(weights[..., :-4])


@plant("rescale")
class OutNotNormalised(TileLoop):
    """The output of a split is not divided by the sum of its weights."""

    def finalize(self, problem: Problem, state: State) -> Part:
        return Part(state.acc, self.log_sum_exp(state))


@plant("merge")
class MergeOfEqualShares(TileLoop):
    """Splits that have keys are averaged, whatever weight they carry."""

    def merge_weights(self, every: Tensor, lse: Tensor) -> Tensor:
        kept = (~every.isneginf()).float()
        return kept / kept.sum(dim=0).clamp_min(1.0)


@plant("merge")
class MergeInBaseTwo(TileLoop):
    """The splits' natural LSEs are taken for base 2 (vLLM #47079)."""

    def merge_weights(self, every: Tensor, lse: Tensor) -> Tensor:
        return (every - self.shift(lse)).exp2()


@plant("merge")
class MergeRowsShifted(TileLoop):
    """Each row is merged with its neighbour's weights (FlashInfer #4382)."""

    def merge_weights(self, every: Tensor, lse: Tensor) -> Tensor:
        return super().merge_weights(every, lse).roll(1, dims=3)


@plant("merge")
class MergeOfLargestOnly(TileLoop):
    """The weights of the merge are relative to the largest split and never normalised (FlashInfer 5dadb243c)."""

    def merge_weights(self, every: Tensor, lse: Tensor) -> Tensor:
        return (every - self.shift(every.amax(dim=0))).exp()


@plant("merge")
class SplitsShareTile(TileLoop):
    """The tile between two splits belongs to both."""

    def splits(self, tiles: list[range]) -> list[list[range]]:
        first, *others = super().splits(tiles)
        return [first, *([*first[-1:], *share] if share else share for share in others)]


@plant("split lost")
class LastSplitLost(TileLoop):
    """The merge reduces one split too few (MLX #3875)."""

    def merge(self, parts: list[Part]) -> Part:
        return super().merge(parts[:-1])


@plant("split lost")
class OutOfLastSplit(TileLoop):
    """The last split's output is written where the merged one should be (flash-attention #900)."""

    def merge(self, parts: list[Part]) -> Part:
        part = super().merge(parts)
        return Part(torch.where(parts[-1].lse.isneginf(), part.out, parts[-1].out), part.lse)


@plant("split lost")
class SplitSizeRoundedDown(TileLoop):
    """Tiles are shared out by a division that rounds down: an odd one is lost (MLX #3875)."""

    def splits(self, tiles: list[range]) -> list[list[range]]:
        return super().splits(tiles[: max(len(tiles) // self.split_count * self.split_count, 1)])
