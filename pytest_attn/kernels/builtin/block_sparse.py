"""Block-sparse attention: for each query block gather its kept key blocks, then flash over them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.kernels.builtin.sdpa import flash, numerics
from pytest_attn.kernels.kernel import Output, PreparedRun, kernel
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Lengths
from pytest_attn.problem.problem import Problem


class QueryBlock(NamedTuple):
    """Query rows of one head and the key spans that they keep."""

    batch: int
    head: int
    rows: slice
    spans: tuple[slice, ...]
    keys: int


def query_blocks(block_mask: BlockMask) -> list[QueryBlock]:
    """The query blocks of all heads, those with the most keys first, so that the workers finish together."""
    query_block, length = block_mask.block_shape[0], block_mask.query_length
    mask, lengths = BlockSparse(block_mask), Lengths(length, block_mask.key_length)
    found = []
    for batch, head in product(*map(range, block_mask.blocks.shape[:2])):
        for start in range(0, length, query_block):
            rows = range(start, min(start + query_block, length))
            spans = tuple(slice(span.start, span.stop) for span in mask.spans(lengths, batch, head, rows))
            keys = sum(span.stop - span.start for span in spans)
            found.append(QueryBlock(batch, head, slice(rows.start, rows.stop), spans, keys))
    return sorted(found, key=lambda block: -block.keys * (block.rows.stop - block.rows.start))


class BlockSparseKernel:
    """Set-up lists the query blocks and their key spans; the run shares them out to one worker per core."""

    def prepare(self, problem: Problem, inputs: Inputs) -> PreparedRun:
        """A run of the block mask; of the dense flash kernel where the problem has none."""
        query, key, value = inputs.query, inputs.key, inputs.value
        if not isinstance(problem.mask, BlockSparse):
            key, value = (t.repeat_interleave(problem.group, dim=1) if problem.group > 1 else t for t in (key, value))
            return lambda: _asked(problem, *flash(query, key, value, problem.scale))
        blocks = query_blocks(problem.mask.block_mask)
        most = max(block.keys for block in blocks)
        # Fresh pages for every output would cost 3 % of a run at sparsity 0.9.
        out = query.new_empty(problem.out_shape)
        lse = query.new_empty(problem.lse_shape, dtype=problem.sum_dtype)

        def run() -> Output:
            def work(shared: Iterator[QueryBlock]) -> None:
                key_room = key.new_empty(1, 1, most, problem.head_dim)
                value_room = value.new_empty(1, 1, most, problem.value_dim)
                for batch, head, rows, spans, count in shared:
                    if not spans:
                        out[batch, head, rows] = 0.0
                        lse[batch, head, rows] = -torch.inf
                        continue
                    source = (batch, head // problem.group)
                    keys = _gather(key[source], spans, key_room[:, :, :count])
                    values = _gather(value[source], spans, value_room[:, :, :count])
                    tile = query[batch : batch + 1, head : head + 1, rows]
                    result, row_lse = flash(tile, keys, values, problem.scale)
                    out[batch, head, rows] = result[0, 0]
                    lse[batch, head, rows] = row_lse[0, 0]

            share(blocks, work)
            return _asked(problem, out, lse)

        return run


def _asked(problem: Problem, out: Tensor, lse: Tensor) -> Output:
    return Output(out, lse if problem.wants_lse else None)


def _gather(tensor: Tensor, spans: tuple[slice, ...], room: Tensor) -> Tensor:
    """The rows of `tensor` `[S, D]` in the spans, `[1, 1, keys, D]`: a view of one span, several copied to `room`."""
    if len(spans) == 1:
        return tensor[None, None, spans[0]]
    torch.cat([tensor[span] for span in spans], out=room[0, 0])
    return room


BLOCK_SPARSE = kernel(
    name="block_sparse",
    devices=("cpu",),
    dtypes=BUILT_IN_DTYPES,
    lse=True,
    gqa=True,
    block_sparse=True,
    strided=True,
    bsnd=True,
    deterministic=True,
    numerics=numerics,
)(BlockSparseKernel)
"""The built-in block-sparse kernel for the CPU."""
