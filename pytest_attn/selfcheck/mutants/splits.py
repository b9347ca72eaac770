"""Partial results of splits of the keys, before anything merges them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_attn.problem.masks import Lengths, Split
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.split_loop import SplitLoop
from pytest_attn.selfcheck.mutants.tile_loop import Part, State


@plant("lse base")
class PartialLseInBaseTwo(SplitLoop):
    """The LSE of each split is a binary logarithm."""

    def partial_lse(self, part: Part) -> Tensor:
        return super().partial_lse(part) / math.log(2)


@plant("empty rows")
class PartialLseOfEmptySplitIsZero(SplitLoop):
    """A split without keys has LSE 0, and so the weight of a key of logit 0."""

    def partial_lse(self, part: Part) -> Tensor:
        lse = super().partial_lse(part)
        return lse.masked_fill(lse.isneginf(), 0.0)


@plant("lse shift")
class PartialLseIsMaximum(SplitLoop):
    """The maximum of each split is returned for its LSE."""

    def finalize(self, problem: Problem, state: State) -> Part:
        part = super().finalize(problem, state)
        return Part(part.out, state.maximum) if problem.num_splits else part


@plant("merge")
class PartialOutNotDivided(SplitLoop):
    """The output of each split is a sum of weighted values that is not divided by the sum of weights."""

    def finalize(self, problem: Problem, state: State) -> Part:
        part = super().finalize(problem, state)
        return Part(state.acc, part.lse) if problem.num_splits else part


@plant("merge")
class PartialOutWeighted(SplitLoop):
    """The output of each split has its weight in the result already."""

    def partials(self, parts: list[Part]) -> list[Part]:
        every = torch.stack([part.lse for part in parts])
        weights = self.merge_weights(every, self.merged_lse(every))
        return [Part(weight * part.out, part.lse) for weight, part in zip(weights, parts, strict=True)]


@plant("lse order")
class PartialLseOfNextSplit(SplitLoop):
    """Each split returns the LSE of the next one."""

    def partials(self, parts: list[Part]) -> list[Part]:
        following = [*parts[1:], parts[0]]
        return [Part(part.out, other.lse) for part, other in zip(parts, following, strict=True)]


@plant("leaked keys")
class SplitEndsOneKeyLate(SplitLoop):
    """Each split has the first key of the next one, too, which then counts twice."""

    def split_keys(self, problem: Problem, number: int) -> range:
        keys = super().split_keys(problem, number)
        return range(keys.start, min(keys.stop + 1, problem.key_length)) if keys else keys


@plant("lost keys")
class SplitStartsOneKeyLate(SplitLoop):
    """Each split but the first lacks its first key."""

    def split_keys(self, problem: Problem, number: int) -> range:
        keys = super().split_keys(problem, number)
        return range(keys.start + (number > 0), keys.stop)


@plant("split lost")
class LastSplitIsRemainder(SplitLoop):
    """The tiles are shared out evenly downwards, and those that remain belong to no split."""

    def split_keys(self, problem: Problem, number: int) -> range:
        share = problem.key_length // self.key_tile // problem.num_splits * self.key_tile
        return range(number * share, (number + 1) * share)


@plant("merge")
class SplitsOfLongestSequence(SplitLoop):
    """The keys of a split follow from the length of the longest sequence, not from its own."""

    def split_keys(self, problem: Problem, number: int) -> range:
        room = getattr(problem, "room", problem.lengths)
        keys = Split(number, problem.num_splits, self.key_tile).keys(Lengths(room.query, room.key))
        return range(keys.start, max(min(keys.stop, problem.key_length), keys.start))


@plant("precision")
class PartialOutInHalfPrecision(SplitLoop):
    """The output of each split is rounded to the input type before it is merged."""

    def partial_out(self, problem: Problem, part: Part) -> Tensor:
        return super().partial_out(problem, part).to(problem.dtype).float()


@plant("leaked keys")
class SplitBeginsAtFirstKey(SplitLoop):
    """Each split has the keys of all splits before it, too."""

    def split_keys(self, problem: Problem, number: int) -> range:
        return range(super().split_keys(problem, number).stop)
