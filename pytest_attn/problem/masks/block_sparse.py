"""Queries of a block attend to the kept key blocks of that block."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.masks.mask import Lengths, Span


@dataclass(frozen=True, eq=False)
class BlockSparse:
    """Query i of head h attends to key j where `block_mask.blocks[b, h, i // bq, j // bkv]`."""

    block_mask: BlockMask

    @cached_property
    def key(self) -> str:
        """The block shape and a digest of the kept blocks."""
        blocks = self.block_mask.blocks
        digest = hashlib.blake2b(blocks.numpy(force=True).tobytes(), digest_size=16).hexdigest()
        return f"blocks-{self.block_mask.block_shape}-{tuple(blocks.shape)}-{digest}"

    @property
    def keeps_all(self) -> bool:
        """Whether no block is left out."""
        return bool(self.block_mask.blocks.all())

    @cached_property
    def heads_alike(self) -> bool:
        """Whether every head keeps the same blocks."""
        blocks = self.block_mask.blocks
        return bool((blocks == blocks[:, :1]).all())

    def row_step(self, lengths: Lengths) -> int:
        """The rows of a query block."""
        return self.block_mask.block_shape[0]

    @cached_property
    def _kept(self) -> dict[tuple[int, int], list[list[int]]]:
        heads = self.block_mask.blocks.shape[:2]
        return {(b, h): self.block_mask.kept_rows(b, h) for b in range(heads[0]) for h in range(heads[1])}

    def spans(self, lengths: Lengths, batch: int, head: int, rows: range) -> Sequence[Span]:
        """The kept key blocks of the rows' query block, all full; neighbouring ones make one span."""
        query_block, key_block = self.block_mask.block_shape
        spans: list[Span] = []
        for column in self._kept[batch, head][rows.start // query_block]:
            start, stop = column * key_block, min((column + 1) * key_block, lengths.key)
            if spans and spans[-1].stop == start:
                start = spans.pop().start
            spans.append(Span(start, stop, True))
        return spans

    def allowed(self, lengths: Lengths, batch: int, head: int, rows: range, keys: range) -> Tensor:
        """Whether the block of each pair is kept."""
        query_block, key_block = self.block_mask.block_shape
        query = torch.arange(rows.start, rows.stop) // query_block
        key = torch.arange(keys.start, keys.stop) // key_block
        return self.block_mask.blocks[batch, head][query][:, key]

    def empty_rows(self, lengths: Lengths) -> Tensor:
        """bool `[B, H, Sq]`: the rows of query blocks that keep no key block."""
        empty = ~self.block_mask.blocks.any(dim=3)
        return empty.repeat_interleave(self.block_mask.block_shape[0], dim=2)[:, :, : lengths.query]
