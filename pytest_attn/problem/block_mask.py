"""A block mask: which (query block, key block) tiles are kept, and its exact conversions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask as FlexBlockMask

SABI_PADDING = 0xFFFF
"""Fills the unused end of a sabi row."""


@dataclass(frozen=True, eq=False)
class BlockMask:
    """Kept tiles of the score matrix, per batch and query head.

    `blocks`: bool `[B, H, ceil(Sq / bq), ceil(Skv / bkv)]`, True = kept. `block_shape`: `(bq, bkv)` in tokens; the
    last block of either side may be partial. Raises ValueError where shapes or dtype do not fit.
    """

    blocks: Tensor
    block_shape: tuple[int, int]
    query_length: int
    key_length: int

    def __post_init__(self) -> None:
        query_block, key_block = self.block_shape
        if min(query_block, key_block) < 1:
            raise ValueError(f"block_shape: {self.block_shape!r}; allowed: two positive block sizes")
        grid = (-(-self.query_length // query_block), -(-self.key_length // key_block))
        if self.blocks.dtype != torch.bool:
            raise ValueError(f"blocks: dtype is {self.blocks.dtype}; allowed: torch.bool")
        if self.blocks.dim() != 4 or tuple(self.blocks.shape[2:]) != grid:
            raise ValueError(f"blocks: shape is {list(self.blocks.shape)}; allowed: [B, H, {grid[0]}, {grid[1]}]")

    def to(self, device: torch.device) -> BlockMask:
        """The same mask with its tensor on a device."""
        return replace(self, blocks=self.blocks.to(device))

    @property
    def kept(self) -> int:
        """Number of kept blocks, over all batches and heads."""
        return int(self.blocks.sum())

    def kept_rows(self, batch: int, head: int) -> list[list[int]]:
        """For each query-block row of one head, the kept key blocks, ascending."""
        return [row.nonzero().flatten().tolist() for row in self.blocks[batch, head]]

    @staticmethod
    def from_kept_rows(
        kept: Sequence[Sequence[Sequence[int]]],
        batch: int,
        block_shape: tuple[int, int],
        query_length: int,
        key_length: int,
    ) -> BlockMask:
        """The mask of plain lists: for each (batch, head), batch-major, for each query-block row the kept key
        blocks."""
        grid = (-(-query_length // block_shape[0]), -(-key_length // block_shape[1]))
        blocks = np.zeros((len(kept), *grid), dtype=np.bool_)
        for head, rows in enumerate(kept):
            for row, columns in enumerate(rows):
                blocks[head, row, list(columns)] = True
        shaped = torch.from_numpy(blocks).view(batch, len(kept) // batch, *grid)
        return BlockMask(shaped, block_shape, query_length, key_length)

    @property
    def sabi(self) -> Tensor:
        """Sparse attention block indices: uint16 `[B, H, nQ, nKV]`; each row the kept key blocks ascending, then
        0xFFFF.

        Raises ValueError where a key-block index would not fit beside the padding value.
        """
        count = self.blocks.shape[-1]
        if count > SABI_PADDING:
            raise ValueError(f"sabi: {count} key blocks; allowed: at most {SABI_PADDING}, 0xFFFF is the padding")
        blocks = self.blocks.numpy(force=True)
        # Kept columns keep their index, the others sort behind them as padding.
        indices = np.where(blocks, np.arange(count, dtype=np.uint32), np.uint32(SABI_PADDING))
        return torch.from_numpy(np.sort(indices, axis=-1).astype(np.uint16)).to(self.blocks.device)

    @staticmethod
    def from_sabi(sabi: Tensor, block_shape: tuple[int, int], query_length: int, key_length: int) -> BlockMask:
        """The mask of a sabi tensor `[B, H, nQ, <= nKV]`.

        Raises ValueError naming the row and the value where the dtype is not uint16 or a row is not ascending block
        indices below nKV followed by 0xFFFF only.
        """
        if sabi.dtype != torch.uint16:
            raise ValueError(f"sabi: dtype is {sabi.dtype}; allowed: torch.uint16")
        rows, cols = -(-query_length // block_shape[0]), -(-key_length // block_shape[1])
        if sabi.dim() != 4 or sabi.shape[2] != rows or sabi.shape[3] > cols:
            raise ValueError(f"sabi: shape is {list(sabi.shape)}; allowed: [B, H, {rows}, at most {cols}]")
        entries = sabi.numpy(force=True).astype(np.int64)
        _refuse_bad_entries(entries, cols)
        blocks = np.zeros((*entries.shape[:3], cols + 1), dtype=np.bool_)
        np.put_along_axis(blocks, np.where(entries == SABI_PADDING, cols, entries), True, axis=-1)
        kept = torch.from_numpy(blocks[..., :cols].copy())
        return BlockMask(kept, block_shape, query_length, key_length)

    def token_mask(self) -> Tensor:
        """bool `[B, H, Sq, Skv]`, True = may attend. Costs a byte per pair."""
        query_block, key_block = self.block_shape
        rows = self.blocks.repeat_interleave(query_block, dim=2)[:, :, : self.query_length]
        return rows.repeat_interleave(key_block, dim=3)[..., : self.key_length]

    @staticmethod
    def from_token_mask(mask: Tensor, block_shape: tuple[int, int]) -> BlockMask:
        """The block mask of a token mask `[B, H, Sq, Skv]`.

        Raises ValueError naming the first block in which some pairs are kept and others are not.
        """
        if mask.dtype != torch.bool or mask.dim() != 4:
            raise ValueError(f"token mask: {mask.dtype} {list(mask.shape)}; allowed: torch.bool [B, H, Sq, Skv]")
        query_length, key_length = mask.shape[2:]
        corners = mask[:, :, :: block_shape[0], :: block_shape[1]].contiguous()
        found = BlockMask(corners, block_shape, query_length, key_length)
        differs = (found.token_mask() != mask).nonzero()
        if len(differs):
            b, h, i, j = differs[0].tolist()
            raise ValueError(
                f"token mask: batch {b}, head {h}, block ({i // block_shape[0]}, {j // block_shape[1]}) is kept "
                f"in part; allowed: whole blocks of {block_shape[0]}x{block_shape[1]}"
            )
        return found

    def csr(self) -> tuple[Tensor, Tensor]:
        """(row_offsets int64 `[B*H*nQ + 1]`, key_blocks int32 `[kept]`), rows in (batch, head, query block) order."""
        flat = self.blocks.flatten(0, 2)
        offsets = torch.zeros(len(flat) + 1, dtype=torch.int64)
        offsets[1:] = flat.sum(dim=1).cumsum(0)
        return offsets, flat.nonzero()[:, 1].to(torch.int32)

    @staticmethod
    def from_csr(
        row_offsets: Tensor,
        key_blocks: Tensor,
        heads: tuple[int, int],
        block_shape: tuple[int, int],
        query_length: int,
        key_length: int,
    ) -> BlockMask:
        """The mask of `csr()`; `heads` is (batch, query heads). Raises ValueError where offsets or indices do not
        fit."""
        rows, cols = -(-query_length // block_shape[0]), -(-key_length // block_shape[1])
        count = heads[0] * heads[1] * rows
        offsets = row_offsets.to(torch.int64)
        if len(offsets) != count + 1 or int(offsets[0]) != 0 or int(offsets[-1]) != len(key_blocks):
            raise ValueError(f"row_offsets: allowed: {count + 1} values from 0 to {len(key_blocks)}")
        lengths = offsets.diff()
        if bool((lengths < 0).any()):
            raise ValueError(f"row_offsets: row {int((lengths < 0).nonzero()[0])} has a negative length")
        columns = key_blocks.to(torch.int64)
        outside = ((columns < 0) | (columns >= cols)).nonzero()
        if len(outside):
            raise ValueError(f"key_blocks: {int(columns[outside[0]])}; allowed: 0 to {cols - 1}")
        flat = torch.zeros(count, cols, dtype=torch.bool)
        flat[torch.arange(count).repeat_interleave(lengths), columns] = True
        if int(flat.sum()) != len(columns):
            raise ValueError("key_blocks: a row names a block twice; allowed: each block once")
        return BlockMask(flat.view(*heads, rows, cols), block_shape, query_length, key_length)

    @property
    def mask_mod(self) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """(batch, head, query, key) -> whether the query may attend to the key: the `mask_mod` of FlexAttention."""
        blocks, (query_block, key_block) = self.blocks, self.block_shape

        # FlexAttention counts parameters, and would count that of a method's object.
        def kept(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return blocks[batch, head, query // query_block, key // key_block]

        return kept

    def flex(self) -> FlexBlockMask:
        """FlexAttention's `BlockMask` of the same blocks. Partial last blocks are partial there, all others full."""
        from torch.nn.attention.flex_attention import BlockMask as FlexBlockMask

        ragged = torch.zeros_like(self.blocks)
        ragged[:, :, -1:] |= self.query_length % self.block_shape[0] > 0
        ragged[..., -1:] |= self.key_length % self.block_shape[1] > 0
        partial, full = (_ordered(blocks) for blocks in (self.blocks & ragged, self.blocks & ~ragged))
        lengths = (self.query_length, self.key_length)
        return FlexBlockMask.from_kv_blocks(
            *partial, *full, BLOCK_SIZE=self.block_shape, mask_mod=self.mask_mod, seq_lengths=lengths
        )

    @staticmethod
    def from_flex(mask: FlexBlockMask) -> BlockMask:
        """The mask of FlexAttention's `BlockMask`. Raises ValueError naming a block that its `mask_mod` keeps in
        part."""
        from torch.nn.attention.flex_attention import create_mask

        batch, heads, query_length, key_length = mask.shape
        device = mask.kv_num_blocks.device
        tokens = create_mask(mask.mask_mod, batch, heads, query_length, key_length, device=device)
        return BlockMask.from_token_mask(tokens, mask.BLOCK_SIZE)


def _ordered(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """(counts, indices) int32: the kept key blocks of each row, then the others."""
    indices = blocks.int().argsort(dim=3, descending=True, stable=True)
    return blocks.sum(dim=3, dtype=torch.int32), indices.int()


def _refuse_bad_entries(entries: np.ndarray[tuple[int, ...], np.dtype[np.int64]], cols: int) -> None:
    padding = entries == SABI_PADDING

    def refuse(where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], why: str) -> None:
        if where.any():
            b, h, row, slot = (int(index) for index in np.argwhere(where)[0])
            value = int(entries[b, h, row, slot])
            raise ValueError(f"sabi: batch {b}, head {h}, row {row}, slot {slot}: value {value} {why}")

    refuse(~padding & (entries >= cols), f"is out of range; allowed: 0 to {cols - 1}, or 65535 as padding")
    after_padding = np.zeros_like(padding)
    after_padding[..., 1:] = padding[..., :-1]
    refuse(after_padding & ~padding, "stands behind padding; allowed: padding at the end of a row only")
    step = np.ones_like(entries)
    step[..., 1:] = np.diff(entries, axis=-1)
    refuse(~padding & (step == 0), "is a duplicate; allowed: strictly ascending blocks")
    refuse(~padding & (step < 0), "is not ascending; allowed: strictly ascending blocks")
