"""What holds up to some length, and not beyond: integers of 16 bits, and paths of kernels that long caches take."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.rescale import AccNotRescaled
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop
from pytest_attn.selfcheck.mutants.variant_loop import Side, VariantLoop


@plant("overflow")
class KeyIndexInInt16(TileLoop):
    """Positions in the mask have 16 bits: 32768 is negative (MLX #3361)."""

    def positions(self, tokens: range) -> Tensor:
        return super().positions(tokens).to(torch.int16).long()


@plant("overflow")
class KeyCountInUint16(TileLoop):
    """The number of keys has 16 bits: 65537 is 1."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return super().beyond(problem, keys, key) | (key >= problem.key_length % 2**16)


@plant("overflow")
class GridOf512Tiles(TileLoop):
    """The grid holds 512 tiles of queries; rows beyond 65536 are not computed (FlashMLA #173, there 65535 tiles)."""

    def query_tiles(self, problem: Problem) -> Iterator[range]:
        return (rows for rows in super().query_tiles(problem) if rows.start < 512 * self.query_tile)


@plant("overflow")
class WindowInInt16(VariantLoop):
    """The first key of a window has 16 bits: beyond 32767 keys the window lies elsewhere (tpu-inference #2755)."""

    def outside(self, problem: Problem, query: Tensor, key: Tensor, window: tuple[Side, Side]) -> Tensor:
        last = query + self.center(problem)
        return super().outside(problem, query, key - last.to(torch.int16).long() + last, window)


@plant("overflow")
class DistanceInInt16(VariantLoop):
    """The distance of ALiBi has 16 bits: a key 32768 before its query is far behind it."""

    def distance(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return super().distance(problem, query, key).to(torch.int16).long()


@plant("overflow")
class PageIdInInt16(VariantLoop):
    """Page ids have 16 bits: pages beyond 32767 are counted from the end of the pool."""

    def page_list(self, problem: Problem, inputs: Inputs, batch: int) -> Tensor:
        return super().page_list(problem, inputs, batch).to(torch.int16).long() % len(inputs.key)


@plant("overflow")
class LengthInUint16(VariantLoop):
    """The number of keys of a sequence has 16 bits: 65537 is 1."""

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        return super().key_length(problem, used, batch) % 2**16


@plant("overflow")
class PackedEndInInt16(VariantLoop):
    """Ends of packed sequences are cut off at 32767 tokens."""

    def keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        own = super().keys(problem, inputs, batch)
        return range(min(own.start, 2**15 - 1), min(own.stop, 2**15 - 1)) if "cu_seqlens_k" in inputs.extras else own


@plant("overflow")
class BiasRowInUint16(VariantLoop):
    """Row 65536 of a bias is read at row 0 (PyTorch #162588)."""

    def bias_of(self, bias: Tensor, batch: int) -> Tensor:
        return super().bias_of(bias, batch)[:, :, torch.arange(bias.shape[2]) % 2**16]


@plant("lost keys")
class BiasOfDecodingCutAt512(VariantLoop):
    """The bias of a single query counts up to key 512 and is 0 beyond (vLLM Ascend #15503)."""

    def bias_of(self, bias: Tensor, batch: int) -> Tensor:
        own = super().bias_of(bias, batch).clone()
        if own.shape[2] == 1:
            own[..., 512:] = 0.0
        return own


@plant("lost keys")
class KeysBeyond8192Lost(TileLoop):
    """A row of scores lies in shared memory that holds 8192 keys; what follows is not read."""

    def key_stop(self, problem: Problem, rows: range) -> int:
        return min(super().key_stop(problem, rows), 8192)


@plant("lost keys")
class SplitsBeyond32Lost(TileLoop):
    """The second pass reads 32 splits of 512 keys, however many there are (MLX #3875)."""

    def splits(self, tiles: list[range]) -> list[list[range]]:
        return [tiles[first : first + 8] for first in range(0, len(tiles), 8)][:32] or [[]]


@plant("rescale")
class LongCacheNotRescaled(TileLoop):
    """The path of 2048 keys and more does not rescale what was summed under an older maximum."""

    def attend(self, problem: Problem, inputs: Inputs, lane: Lane, rows: range) -> Part:
        if problem.key_length >= 2048:
            return AccNotRescaled().attend(problem, inputs, lane, rows)
        return super().attend(problem, inputs, lane, rows)


@plant("head dim")
class SecondHalfOfWideHeadLost(TileLoop):
    """Decoding with 2048 keys and more writes the first 128 columns of 256 (hipfire #264)."""

    def attend(self, problem: Problem, inputs: Inputs, lane: Lane, rows: range) -> Part:
        part = super().attend(problem, inputs, lane, rows)
        if problem.query_length == 1 and problem.key_length >= 2048:
            part.out[..., 128:] = 0.0
        return part


@plant("lost keys")
class KeysOfHead128Beyond8192Lost(TileLoop):
    """The kernel of head dim 128 has shared memory for the scores of 8192 keys."""

    def key_stop(self, problem: Problem, rows: range) -> int:
        stop = super().key_stop(problem, rows)
        return min(stop, 8192) if problem.head_dim == 128 else stop


@plant("lost keys")
class BlocksBeyond32Lost(TileLoop):
    """The kept key blocks of a row are bits of one word of 32."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        return [block for block in super().block_list(problem, lane, rows) if block < 32]


@plant("causal diagonal")
class LongRowsOfWideGroupsOneTooFar(TileLoop):
    """Rows of groups of three heads and more are packed, and from row 1024 on unpacked one too late."""

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return super().later(problem, query + ((query >= 1024) & (problem.group >= 3)), key)


@plant("window")
class WindowOfLongPrefillOneTooFar(VariantLoop):
    """From row 512 on, where tiles before the window are skipped, a window has one key more on its left."""

    def outside(self, problem: Problem, query: Tensor, key: Tensor, window: tuple[Side, Side]) -> Tensor:
        left, right = window
        outside = super().outside(problem, query, key, window)
        if left is None:
            return outside
        return torch.where(query >= 512, super().outside(problem, query, key, (left + 1, right)), outside)
