"""Integers that wrap, at a width so small that small cells show it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop


@plant("overflow")
class KeyIndexInInt8(TileLoop):
    """Positions in the mask are 8-bit numbers: 128 is negative (MLX #3361, there in 16 bits)."""

    def positions(self, tokens: range) -> Tensor:
        return super().positions(tokens).to(torch.int8).long()


@plant("overflow")
class BlockIdInFourBits(TileLoop):
    """Block ids have 4 bits: 16 is 0 (aiter #3211, CANN !6363, there in 16 bits)."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        return [block % 16 for block in super().block_list(problem, lane, rows)]


@plant("overflow")
class OffsetInInt16(TileLoop):
    """Offsets have 16 bits: elements beyond 32767 read as zeros (aiter #4774, there in 32 bits)."""

    def load(self, tensor: Tensor, problem: Problem, lane: Lane, keys: range) -> Tensor:
        tile = super().load(tensor, problem, lane, keys)
        return tile if keys.start * tensor.shape[3] < 2**15 else torch.zeros_like(tile)


@plant("overflow")
class MaskOffsetInInt16(TileLoop):
    """The offset into the mask has 16 bits: what lies beyond is not hidden (FlashInfer #1290, there in 32 bits)."""

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return super().later(problem, query, key) & (query * problem.key_length + key < 2**15)


@plant("overflow")
class KeyCountInUint8(TileLoop):
    """The number of keys has 8 bits: 257 is 1 (Block-Sparse-Attention 6ec5a27, there in 32 bits)."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return super().beyond(problem, keys, key) | (key >= problem.key_length % 256)


@plant("overflow")
class GridOfTwoTiles(TileLoop):
    """The grid holds two tiles of queries; further ones are not launched (FlashMLA #173, there 65535)."""

    def query_tiles(self, problem: Problem) -> Iterator[range]:
        return (rows for rows in super().query_tiles(problem) if rows.start < 2 * self.query_tile)
