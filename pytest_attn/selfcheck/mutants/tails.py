"""The last tile, which is not full."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop


@plant("tail")
class LastTileUnmasked(TileLoop):
    """Keys past the end in the last tile keep a zero logit and take weight (FlashInfer #3717)."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return torch.zeros_like(key, dtype=torch.bool)


@plant("tail")
class TailMaskedInFirstTile(TileLoop):
    """With the keys visited in reverse, only the first tile is masked, not the last (LiteAttention #3)."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return super().beyond(problem, keys, key) & (keys.start == 0)


@plant("tail")
class TailRoundedToPage(TileLoop):
    """The bound of the keys is rounded up to a page of 16 (FlashInfer #942)."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return key >= -(-keys.stop // 16) * 16


@plant("tail")
class OneKeyTooMany(TileLoop):
    """The bound of the keys is inclusive: one padding key takes weight."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return super().beyond(problem, keys, key - 1)


@plant("tail")
class WholeTileMaskedAsEmpty(TileLoop):
    """The last tile is masked from its length modulo the tile, which is 0 for a whole one."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        last = keys.stop >= problem.key_length
        left = problem.key_length % self.key_tile if last else self.key_tile
        return super().beyond(problem, keys, key) | (key >= keys.start + left)


@plant("tail")
class TailTileDropped(TileLoop):
    """The number of key tiles is rounded down: a last partial tile is not visited."""

    def tiles_between(self, start: int, stop: int) -> list[range]:
        tiles = super().tiles_between(start, stop)
        return [keys for keys in tiles if len(keys) == self.key_tile or len(tiles) == 1]


@plant("tail")
class TailTileMovedBack(TileLoop):
    """The last tile is moved back so that it is full: the keys that it shares with the one before count twice."""

    def tiles_between(self, start: int, stop: int) -> list[range]:
        tiles = super().tiles_between(start, stop)
        return [*tiles[:-1], *(range(max(stop - self.key_tile, start), stop) for _ in tiles[-1:])]


@plant("tail")
class TailVectorNotLoaded(TileLoop):
    """Keys are loaded in vectors of four; those of a last partial vector stay zero (aiter #2106)."""

    def load_key(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        whole = problem.key_length // 4 * 4
        return self.load(inputs.key[:, :, :whole], problem, lane, keys)


@plant("lost keys")
class LastKeyDropped(TileLoop):
    """The bound of the keys is one short."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return super().beyond(problem, keys, key) | (key >= problem.key_length - 1)


@plant("lost keys")
class FirstKeyDropped(TileLoop):
    """Key 0 is taken for padding."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return super().beyond(problem, keys, key) | (key == 0)


@plant("lost keys")
class LastKeyOfTileDropped(TileLoop):
    """A full tile loses its last key: `<` where `<=` was meant."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return super().beyond(problem, keys, key) | (key == keys.start + self.key_tile - 1)


@plant("leaked keys")
class HiddenLogitZero(TileLoop):
    """What may not be attended to is cleared to 0 instead of -inf (TileLang #1222)."""

    def hidden_logit(self) -> float:
        return 0.0


@plant("unwritten rows")
class LastRowsUnwritten(TileLoop):
    """The grid is rounded down: rows of a last partial tile of queries are never written (lightning-attention #28)."""

    def query_tiles(self, problem: Problem) -> Iterator[range]:
        return (rows for rows in super().query_tiles(problem) if len(rows) == self.query_tile)
