"""The log-sum-exp: its base, its value, and where it is written."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop


class Restated(TileLoop):
    """The loop with one more step: the LSE as it is told."""

    def told(self, problem: Problem, lse: Tensor) -> Tensor:
        """The LSE `[B, H, rows, 1]` of a tile as it is written."""
        return lse

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_lse(problem, lse, lane, rows, Part(part.out, self.told(problem, part.lse)))


@plant("lse base")
class LseInBaseTwo(Restated):
    """The LSE is a base-2 logarithm (FlashInfer #4485)."""

    def told(self, problem: Problem, lse: Tensor) -> Tensor:
        return lse / math.log(2)


@plant("lse base")
class LseBaseFoldedTwice(Restated):
    """The factor ln 2 is applied to a natural logarithm (PyTorch #181645)."""

    def told(self, problem: Problem, lse: Tensor) -> Tensor:
        return lse * math.log(2)


@plant("lse base")
class LseBaseDependsOnPath(Restated):
    """The path that returns the LSE alone has it in base 2 (FlashInfer #2114)."""

    def told(self, problem: Problem, lse: Tensor) -> Tensor:
        return lse if problem.wants_out else lse / math.log(2)


@plant("lse scale")
class LseOfUnscaledLogits(Restated):
    """The LSE is divided by the scale again."""

    def told(self, problem: Problem, lse: Tensor) -> Tensor:
        return lse / problem.scale


@plant("lse shift")
class LseShiftedByConstant(Restated):
    """The offset of the number format, log 448, is not subtracted (SageAttention 3ec1f13)."""

    def told(self, problem: Problem, lse: Tensor) -> Tensor:
        return lse + math.log(448)


@plant("lse shift")
class LseOfMean(Restated):
    """The LSE is that of the mean weight: the logarithm of the number of keys is missing."""

    def told(self, problem: Problem, lse: Tensor) -> Tensor:
        return lse - math.log(problem.key_length)


@plant("lse shift")
class KeyMeanNotAddedBack(TileLoop):
    """The mean of the keys is subtracted from them, and the LSE is not told (SageAttention 9cd0915, aiter #3334)."""

    def load_key(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        mean = inputs.key[lane.batches, self.key_heads(problem, lane)].float().mean(dim=2, keepdim=True)
        return super().load_key(problem, inputs, lane, keys) - mean


@plant("lse shift")
class LseWithoutSum(TileLoop):
    """The merge takes the largest LSE of the splits and forgets the sum over them (FlashInfer 5dadb243c)."""

    def merge(self, parts: list[Part]) -> Part:
        return Part(super().merge(parts).out, torch.stack([part.lse for part in parts]).amax(dim=0))


@plant("split lost")
class LseOfFirstSplit(TileLoop):
    """The LSE is that of the first split alone (FlashInfer #58)."""

    def merge(self, parts: list[Part]) -> Part:
        return Part(super().merge(parts).out, parts[0].lse)


@plant("lse unwritten")
class LseNeverWritten(TileLoop):
    """The LSE is never written (FlashInfer #3838)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        """Nothing."""


@plant("lse unwritten")
class LseUnwrittenWhenSplit(TileLoop):
    """The LSE is not stored where the keys are split (FlashInfer #50)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        if len(self.key_tiles(problem, lane, rows)) < self.split_count:
            super().store_lse(problem, lse, lane, rows, part)


@plant("lse unwritten")
class LseOfLoneRowUnwritten(TileLoop):
    """A last tile of a single row has no LSE (xFormers 41646dbb)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        if len(rows) > 1 or problem.query_length == 1:
            super().store_lse(problem, lse, lane, rows, part)


@plant("lse order")
class LseRowsShifted(Restated):
    """Each row has its neighbour's LSE (SageAttention b0a347c)."""

    def told(self, problem: Problem, lse: Tensor) -> Tensor:
        return lse.roll(1, dims=2)


@plant("lse order")
class LseGroupsSwapped(TileLoop):
    """The LSE is written by (head in group, key head), not (key head, head in group) (vLLM flash-attention #87)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        heads = lane.query_heads
        swapped = heads % problem.group * problem.key_heads + heads // problem.group
        lse[lane.batches, swapped, rows.start : rows.stop] = part.lse.squeeze(3)


@plant("lse order")
class LseRowsBeforeHeads(TileLoop):
    """The LSE is addressed as `[B, Sq, H]` (aiter #2810)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        other = lse.view(problem.batch, problem.query_length, problem.query_heads)
        other[lane.batches, rows.start : rows.stop, lane.heads] = part.lse.squeeze(3).mT


@plant("lse order")
class LseOfOddGroupShifted(TileLoop):
    """Where a group is odd, the LSE lands one head further (CANN !9866)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        heads = lane.query_heads
        shifted = (heads + (problem.group > 1) * (problem.group % 2)) % problem.query_heads
        lse[lane.batches, shifted, rows.start : rows.stop] = part.lse.squeeze(3)
