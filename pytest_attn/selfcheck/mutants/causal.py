"""The causal diagonal: where it lies, and which tiles it crosses."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop


@plant("causal diagonal")
class TopLeftForBottomRight(TileLoop):
    """The diagonal starts at the first key, whatever was asked for (flash-attention 2.1, MLX #2967, TileLang #864)."""

    def diagonal(self, problem: Problem) -> int:
        return 0


@plant("causal diagonal")
class BottomRightForTopLeft(TileLoop):
    """The diagonal ends at the last key, whatever was asked for (flash-attention 2.1)."""

    def diagonal(self, problem: Problem) -> int:
        return problem.key_length - problem.query_length


@plant("causal diagonal")
class DiagonalOneTooFar(TileLoop):
    """Each query sees one later key."""

    def diagonal(self, problem: Problem) -> int:
        return super().diagonal(problem) + 1


@plant("causal diagonal")
class DiagonalOneShort(TileLoop):
    """Each query misses its own key."""

    def diagonal(self, problem: Problem) -> int:
        return super().diagonal(problem) - 1


@plant("causal diagonal")
class DiagonalOfWholeTiles(TileLoop):
    """The offset of the diagonal is rounded down to whole tiles."""

    def diagonal(self, problem: Problem) -> int:
        return super().diagonal(problem) // self.key_tile * self.key_tile


@plant("causal diagonal")
class LateRowsOneTooFar(TileLoop):
    """The last eight rows, a partial tile of their own, see one later key."""

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return super().later(problem, query + (query >= problem.query_length - 8), key)


@plant("causal diagonal")
class CausalInverted(TileLoop):
    """What the diagonal tile should hide it shows, and the other way round (FlashInfer 973594dbf)."""

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return ~super().later(problem, query, key)


@plant("causal diagonal")
class CausalStopFromFirstRow(TileLoop):
    """The last key tile is found from the first row of a tile of queries, not from its last (MLX #1999)."""

    def key_stop(self, problem: Problem, rows: range) -> int:
        return super().key_stop(problem, range(rows.start, rows.start + 1))


@plant("causal diagonal")
class CausalStopWithoutOffset(TileLoop):
    """The number of key tiles is that of equal lengths (flash-attention #2463)."""

    def key_stop(self, problem: Problem, rows: range) -> int:
        stop = super().key_stop(problem, rows)
        return stop if stop == problem.key_length else min(stop, rows.stop)


@plant("causal diagonal")
class DiagonalTileDropped(TileLoop):
    """The tile that the diagonal crosses is left out where there are others (aiter #4682)."""

    def key_tiles(self, problem: Problem, lane: Lane, rows: range) -> list[range]:
        tiles = super().key_tiles(problem, lane, rows)
        stop = self.key_stop(problem, rows)
        return tiles[:-1] if len(tiles) > 1 and stop < problem.key_length else tiles


@plant("causal diagonal")
class DiagonalUnsigned(TileLoop):
    """A diagonal before the first key wraps to a large number, and nothing is hidden (FlashInfer #353)."""

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        last = query + self.diagonal(problem)
        return key > torch.where(last < 0, last + 2**32, last)


@plant("causal diagonal")
class PackedRowsShifted(TileLoop):
    """Rows of the heads of a group are packed, and unpacked by a power of two (FlashInfer #1148)."""

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return super().later(problem, query * problem.group // (1 << (problem.group - 1).bit_length()), key)


@plant("leaked keys")
class CausalIgnored(TileLoop):
    """The causal flag does not reach the kernel (aiter #3416)."""

    def diagonal(self, problem: Problem) -> int:
        return problem.key_length


@plant("leaked keys")
class DiagonalTileUnmasked(TileLoop):
    """Tiles beyond the diagonal are skipped, but the one that it crosses is taken whole."""

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return torch.zeros_like(super().later(problem, query, key))


@plant("leaked keys", equivalent="the tile too many is hidden whole: only slower")
class OneTileTooMany(TileLoop):
    """The loop goes one tile beyond the last that some row sees (FlashInfer #563)."""

    def splits(self, tiles: list[range]) -> list[list[range]]:
        shares = super().splits(tiles)
        shares[-1] += [range(keys.stop, keys.stop) for keys in tiles[-1:]]
        return shares


@plant("leaked keys")
class CausalIgnoredWhereSquare(TileLoop):
    """The causal flag is lost on the path of as many queries as keys."""

    def diagonal(self, problem: Problem) -> int:
        return problem.key_length if problem.query_length == problem.key_length else super().diagonal(problem)


@plant("causal diagonal")
class LastTileOneTooFarWhereSquare(TileLoop):
    """With as many queries as keys, the rows of a last partial tile see one later key."""

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        last = query >= problem.query_length // self.query_tile * self.query_tile
        return super().later(problem, query + (last & (problem.query_length == problem.key_length)), key)
