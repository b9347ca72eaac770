"""The list of kept key blocks of a block mask."""

from __future__ import annotations

from torch import Tensor

from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop


@plant("lost keys")
class LastBlockSkipped(TileLoop):
    """The loop over the list ends one early (FLA adcffba0)."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        blocks = super().block_list(problem, lane, rows)
        return blocks[:-1] if len(blocks) > 1 else blocks


@plant("lost keys")
class FirstBlockSkipped(TileLoop):
    """The loop over the list starts at 1."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        blocks = super().block_list(problem, lane, rows)
        return blocks[1:] if len(blocks) > 1 else blocks


@plant("lost keys")
class LoneBlockSkipped(TileLoop):
    """A list of a single block counts as empty."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        blocks = super().block_list(problem, lane, rows)
        return blocks if len(blocks) > 1 else []


@plant("lost keys")
class ListBufferTooSmall(TileLoop):
    """The buffer holds four blocks; what is listed beyond is dropped (FlashInfer #2802)."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        return super().block_list(problem, lane, rows)[:4]


@plant("lost keys")
class FullRowSkipped(TileLoop):
    """A row that leaves nothing out is taken for one without a mask, and skipped (SageAttention 34ea987)."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        kept = self.block_row(problem, lane, rows)
        return [] if bool(kept.all()) else super().block_list(problem, lane, rows)


@plant("leaked keys")
class LastBlockTwice(TileLoop):
    """The last block of a list is visited twice."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        blocks = super().block_list(problem, lane, rows)
        return blocks + blocks[-1:]


@plant("leaked keys")
class PaddingReadAsLastBlock(TileLoop):
    """The padding value -1 of a short list is read as an index from the end (flash-attention #2755)."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        blocks = super().block_list(problem, lane, rows)
        columns = len(self.block_row(problem, lane, rows))
        return blocks + [columns - 1] * (len(blocks) < columns)


@plant("leaked keys")
class PaddingReadAsFirstBlock(TileLoop):
    """The padding of a short list is folded to block 0 (aiter #4245)."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        blocks = super().block_list(problem, lane, rows)
        return blocks + [0] * (len(blocks) < len(self.block_row(problem, lane, rows)))


@plant("leaked keys")
class BlocksOneTooFar(TileLoop):
    """The indices count from 1 (FLA 2ac88824)."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        columns = len(self.block_row(problem, lane, rows))
        return [min(block + 1, columns - 1) for block in super().block_list(problem, lane, rows)]


@plant("leaked keys")
class BlockMaskIgnored(TileLoop):
    """Every block is visited."""

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        return list(range(len(self.block_row(problem, lane, rows))))


@plant("leaked keys")
class BlockMaskInverted(TileLoop):
    """The blocks that are masked are visited, and the kept ones left out: True means hidden."""

    def block_row(self, problem: Problem, lane: Lane, rows: range) -> Tensor:
        kept = super().block_row(problem, lane, rows)
        return kept if bool(kept.all()) else ~kept


@plant("lost keys")
class ListOfPreviousRow(TileLoop):
    """A tile of queries takes the list of the block row before its own."""

    def block_row(self, problem: Problem, lane: Lane, rows: range) -> Tensor:
        assert isinstance(problem.mask, BlockSparse)
        block = problem.mask.block_mask.block_shape[0]
        return super().block_row(problem, lane, range(max(rows.start - block, 0), rows.stop))


@plant("lost keys")
class QueryBlockIsOneTwentyEight(TileLoop):
    """Query blocks have 128 rows, whatever the mask says (PyTorch #141126)."""

    def block_row(self, problem: Problem, lane: Lane, rows: range) -> Tensor:
        assert isinstance(problem.mask, BlockSparse)
        block_mask = problem.mask.block_mask
        blocks = block_mask.blocks[lane.batches.start, lane.heads.start]
        return blocks[min(rows.start // 128, len(blocks) - 1)]


@plant("lost keys")
class KeyBlockIsOneTwentyEight(TileLoop):
    """Key blocks have 128 keys, whatever the mask says (PyTorch #136232)."""

    def key_block(self, problem: Problem) -> int:
        return 128


@plant("head mapping")
class ListOfFirstHead(TileLoop):
    """Every head takes the block list of head 0."""

    def block_row(self, problem: Problem, lane: Lane, rows: range) -> Tensor:
        return super().block_row(problem, Lane(lane.batches, slice(0, 1)), rows)


@plant("head mapping")
class ListOfFirstBatch(TileLoop):
    """Every batch takes the block lists of batch 0."""

    def block_row(self, problem: Problem, lane: Lane, rows: range) -> Tensor:
        return super().block_row(problem, Lane(slice(0, 1), lane.heads), rows)


@plant("head mapping")
class ListOfKeyHead(TileLoop):
    """The block list is that of the key head, not of the query head."""

    def block_row(self, problem: Problem, lane: Lane, rows: range) -> Tensor:
        head = lane.heads.start // problem.group
        return super().block_row(problem, Lane(lane.batches, slice(head, head + 1)), rows)


@plant("leaked keys")
class TileOfBlockUnmasked(TileLoop):
    """A tile that reaches beyond its key block is not cut at the block's end (flash-attention 66bedce2)."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return key >= problem.key_length


@plant("tail")
class LastBlockTakenWhole(TileLoop):
    """A last partial block is cut at the block's end, not at the last key (PyTorch #141126)."""

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return key >= keys.stop
