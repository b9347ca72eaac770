"""Rows, and splits of rows, that may attend to nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import Part, State, TileLoop


@plant("empty rows")
class EmptyRowsDivideByZero(TileLoop):
    """A row without keys is 0 / 0 (PyTorch #103963)."""

    def merge(self, parts: list[Part]) -> Part:
        part = super().merge(parts)
        return Part(part.out + torch.where(part.lse.isneginf(), torch.nan, 0.0), part.lse)


@plant("empty rows")
class EmptyRowsPlusInfinity(TileLoop):
    """The LSE of a row without keys is +inf (flash-attention #978)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_lse(problem, lse, lane, rows, Part(part.out, part.lse.nan_to_num(neginf=torch.inf)))


@plant("empty rows")
class EmptyRowsZeroLse(TileLoop):
    """The LSE of a row without keys is 0 (FlashInfer #440)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_lse(problem, lse, lane, rows, Part(part.out, part.lse.nan_to_num(neginf=0.0)))


@plant("empty rows")
class EmptyRowsLowestLse(TileLoop):
    """The LSE of a row without keys is the lowest finite number (vLLM #49294)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        super().store_lse(problem, lse, lane, rows, Part(part.out, part.lse.nan_to_num()))


@plant("empty rows")
class FiniteSentinel(TileLoop):
    """Hidden logits are -5e4: a row that sees nothing sees everything alike (FlashInfer #4267)."""

    def hidden_logit(self) -> float:
        return -5e4


@plant("empty rows")
class EmptyRowsUnwritten(TileLoop):
    """A tile of queries without key tiles returns before it writes (FlashInfer #363)."""

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        if self.key_tiles(problem, lane, rows):
            super().store_out(problem, out, lane, rows, part)


@plant("empty rows")
class EmptyRowsLseUnwritten(TileLoop):
    """A tile of queries without key tiles returns before it writes its LSE (FlashInfer #1533)."""

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        if self.key_tiles(problem, lane, rows):
            super().store_lse(problem, lse, lane, rows, part)


@plant("empty rows")
class EmptyMergeNotANumber(TileLoop):
    """Where every split of a row is empty, -inf - -inf is not a number (flash-attention 26d7d92f)."""

    def merge_weights(self, every: Tensor, lse: Tensor) -> Tensor:
        return (every - lse).exp()


@plant("empty rows")
class EmptyTileNotANumber(TileLoop):
    """The maximum of a first tile that hides all keys of a row is -inf, and -inf + inf is not a number
    (llama.cpp #12776)."""

    def shift(self, maximum: Tensor) -> Tensor:
        return maximum


@plant("empty rows")
class EmptySplitNotCleared(TileLoop):
    """A split whose keys are all hidden divides 0 by 0 instead of writing 0 (aiter #4711)."""

    def finalize(self, problem: Problem, state: State) -> Part:
        return Part(state.acc / state.total, self.log_sum_exp(state))


@plant("empty rows")
class EmptySplitZeroLse(TileLoop):
    """A split without keys reports an LSE of 0 and takes weight in the merge (vLLM #49294)."""

    def log_sum_exp(self, state: State) -> Tensor:
        return torch.where(state.total > 0, super().log_sum_exp(state), 0.0)
