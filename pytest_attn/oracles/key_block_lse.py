"""The log-sum-exp of every key block apart: one dense pass that serves every block mask of a shape."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812  (the field's own name)
from torch import Tensor

from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.oracles.streaming import LOG2_E, TILE_KEYS, Operands, Scratch, Slab, slabs
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.workers import share

KEY_BLOCK = 128
"""Width of the key blocks of the table; block masks whose key block is a multiple of it can be merged from it."""


def key_block_table(dense: Problem, inputs: Inputs) -> Tensor:
    """Natural-log LSE of each 128-key block, `[B, H, Sq, ceil(Skv / 128)]`, in the oracle's precision."""
    dtype = dense.oracle_dtype
    columns = -(-dense.key_length // KEY_BLOCK)
    table = torch.empty((*dense.lse_shape, columns), dtype=dtype)
    query = inputs.query.cpu()
    keys = Operands.of(dense, inputs).key

    def work(shared: Iterator[Slab]) -> None:
        scratch = Scratch(dense, dtype)
        for batch, head, rows in shared:
            where = (batch, head, slice(rows.start, rows.stop))
            scaled = query[where].to(dtype) * (dense.scale * LOG2_E)
            source = keys[batch, head // dense.group]
            for start in range(0, dense.key_length, TILE_KEYS):
                tile = source[start : start + TILE_KEYS]
                scores = torch.mm(scaled, tile.t(), out=scratch.scores(len(rows), len(tile)))
                column = start // KEY_BLOCK
                found = _block_lse(scores)
                table[where][:, column : column + found.shape[1]] = found

    share(slabs(dense), work)
    return table


def _block_lse(scores: Tensor) -> Tensor:
    rows, keys = scores.shape
    if keys % KEY_BLOCK:
        scores = F.pad(scores, (0, -keys % KEY_BLOCK), value=-math.inf)
    blocks = scores.view(rows, -1, KEY_BLOCK)
    maximum = blocks.amax(dim=2)
    total = blocks.sub_(maximum.unsqueeze(2)).exp2_().sum(dim=2)
    return total.log2_().add_(maximum).div_(LOG2_E)


def merge(table: Tensor, block_mask: BlockMask) -> Reference:
    """The LSE of a block mask, merged from the table of its shape; `block_shape[1]` is a multiple of 128."""
    query_block, key_block = block_mask.block_shape
    batches, heads, length, columns = table.shape
    lse = torch.empty((batches, heads, length), dtype=table.dtype)
    peak, weight_square = torch.empty_like(lse), torch.empty_like(lse)
    fine = block_mask.blocks.repeat_interleave(key_block // KEY_BLOCK, dim=3)[..., :columns]
    for batch in range(batches):
        for head in range(heads):
            for row, kept in enumerate(fine[batch, head]):
                rows = slice(row * query_block, (row + 1) * query_block)
                blocks = table[batch, head, rows][:, kept]
                total = blocks.logsumexp(dim=1)
                # No weight exceeds that of its block, nor sum p^2 the sum of the blocks' squares.
                weights = blocks.sub_(total.unsqueeze(1)).exp_()
                lse[batch, head, rows] = total
                peak[batch, head, rows] = weights.amax(dim=1) if kept.any() else 0.0
                weight_square[batch, head, rows] = weights.square_().sum(dim=1)
    return Reference("exact", lse, moments=Moments(weight_square, peak))
