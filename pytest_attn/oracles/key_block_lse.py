"""The log-sum-exp of each key block alone: one dense pass that serves every block mask of a shape."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  (the field's own name)
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.oracles.online_softmax import LOG2_E
from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.oracles.slabs import TILE_KEYS, Slab, slabs
from pytest_attn.oracles.streaming import Operands, Scratch
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

KEY_BLOCK = 128
"""Width of the key blocks of the table; block masks whose key block is a multiple of it can be merged from it."""


LEAST_TOTAL = 1e-20
"""Below this share of the row's largest block, sums of weights lose digits to underflow; LSEs are merged instead."""


class KeyBlockTable(NamedTuple):
    """What every block mask of a shape has in common, in the oracle's precision.

    `lse` `[B, H, Sq, ceil(Skv / 128)]`: natural-log LSE of each 128-key block; `maximum` `[B, H, Sq]`: the largest of a
    row; `weights`: exp(lse - maximum), so that the LSE of any selection of blocks is one product with it.
    """

    lse: Tensor
    maximum: Tensor
    weights: Tensor


def key_block_table(dense: Problem, inputs: Inputs) -> KeyBlockTable:
    """The table that serves every block mask of the shape of a dense problem."""
    dtype = dense.oracle_dtype
    columns = -(-dense.key_length // KEY_BLOCK)
    table = torch.empty((*dense.lse_shape, columns), dtype=dtype)
    query = inputs.query.cpu()
    keys = Operands.of(dense, inputs).key

    def work(shared: Iterator[Slab]) -> None:
        scratch = Scratch(dense, dtype)
        for slab in shared:
            scaled = query[slab.where].to(dtype) * (dense.scale * LOG2_E)
            source = keys[slab.batch, slab.head // dense.group]
            for start in range(0, dense.key_length, TILE_KEYS):
                tile = source[start : start + TILE_KEYS]
                scores = torch.mm(scaled, tile.t(), out=scratch.scores(len(slab.rows), len(tile)))
                column = start // KEY_BLOCK
                found = _block_lse(scores)
                table[slab.where][:, column : column + found.shape[1]] = found

    share(slabs(dense), work)
    maximum = table.amax(dim=3)
    return KeyBlockTable(table, maximum, (table - maximum.unsqueeze(3)).exp_())


def _block_lse(scores: Tensor) -> Tensor:
    rows, keys = scores.shape
    if keys % KEY_BLOCK:
        scores = F.pad(scores, (0, -keys % KEY_BLOCK), value=-math.inf)
    blocks = scores.view(rows, -1, KEY_BLOCK)
    maximum = blocks.amax(dim=2)
    total = blocks.sub_(maximum.unsqueeze(2)).exp2_().sum(dim=2)
    return total.log2_().add_(maximum).div_(LOG2_E)


def merge(table: KeyBlockTable, block_mask: BlockMask) -> Reference:
    """The LSE of a block mask, merged from the table of its shape; `block_shape[1]` is a multiple of 128."""
    query_block, key_block = block_mask.block_shape
    batches, heads, length, columns = table.lse.shape
    lse = torch.empty_like(table.maximum)
    weight_square = torch.empty_like(lse)
    fine = block_mask.blocks.repeat_interleave(key_block // KEY_BLOCK, dim=3)[..., :columns]
    selected = fine.to(lse.dtype)

    def work(shared: Iterator[tuple[int, ...]]) -> None:
        for batch, head, row in shared:
            where = (batch, head, slice(row * query_block, min((row + 1) * query_block, length)))
            weights = table.weights[where]
            total = weights @ selected[batch, head, row]
            if float(total.min()) < LEAST_TOTAL:
                lse[where], weight_square[where] = _merge_lse(table.lse[where][:, fine[batch, head, row]])
            else:
                lse[where] = total.log() + table.maximum[where]
                weight_square[where] = (weights.square() @ selected[batch, head, row]) / total.square()

    share(product(range(batches), range(heads), range(fine.shape[2])), work)
    # No weight exceeds that of its block, nor sum p^2 the sum of the blocks' squares, nor the largest p its root.
    return Reference("exact", lse, moments=Moments(weight_square, peak=weight_square.sqrt()))


def _merge_lse(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """(LSE, sum of squared block weights) of the LSEs `[rows, kept]` of kept blocks."""
    lse = blocks.logsumexp(dim=1)
    shift = torch.where(torch.isneginf(lse), 0.0, lse)
    return lse, (blocks - shift.unsqueeze(1)).exp_().square_().sum(dim=1)
