"""Matmul, softmax, matmul: what everyone writes first."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.problem import Problem

MOST_ROWS = 1024
"""Queries at a time, so that 24000 keys cost 100 MB of scores and not 2 GB."""


FEW_ROWS = 3
"""Products of so few rows on each thread are made row by row: each adds all its terms in one chain (measured, MKL)."""


BACKWARD = BackwardNumerics(score_gradients="float32", delta_of="probabilities", grouped_gradients="float32")
"""Autograd of float32 arithmetic."""


def numerics(problem: Problem) -> Numerics:
    """Probabilities stay in float32; torch's exponential is within a unit in the last place; BLAS combines sums of
    fewer than 512 terms."""
    if problem.dtype != torch.float32:
        return Numerics(probabilities="float32", backward=BACKWARD)
    step = min(problem.mask.row_step(problem.lengths), MOST_ROWS)
    rows = {(length - 1) % step + 1 for length in (problem.query_length, step)}
    rows |= {problem.key_length} if problem.wants_grad else set()
    few = min(rows) <= FEW_ROWS * torch.get_num_threads()
    return Numerics(exp_error=2.0**-23, chain=None if few else 512, backward=BACKWARD)


@kernel(
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    block_sparse=True,
    value_dim=True,
    strided=True,
    deterministic=True,
    backward=True,
    numerics=numerics,
)
def eager(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    causal_top_left: bool = False,
    block_mask: BlockMask | None = None,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention in float32 over whole rows of scores, some queries of one head at a time."""
    group = query.shape[1] // key.shape[1]
    out = query.new_zeros((*query.shape[:3], value.shape[3]))
    lse = query.new_full(query.shape[:3], -torch.inf, dtype=torch.float32)
    offset = 0 if causal_top_left else key.shape[2] - query.shape[2]
    # Converted as a whole, so that autograd adds the gradients of a group in float32.
    key, value = key.float(), value.float()
    for batch in range(query.shape[0]):
        for head in range(query.shape[1]):
            keys, values = key[batch, head // group], value[batch, head // group]
            for rows, kept in _pieces(block_mask, batch, head, query.shape[2]):
                scores = query[batch, head, rows].float() @ keys[kept].T * scale
                if causal or causal_top_left:
                    diagonal = offset + rows.start + 1
                    scores.masked_fill_(torch.ones_like(scores, dtype=torch.bool).triu(diagonal), -torch.inf)
                lse[batch, head, rows] = scores.logsumexp(dim=1)
                # A row without keys would be softmax of nothing, NaN; its output is 0.
                out[batch, head, rows] = scores.softmax(dim=1).nan_to_num(0.0) @ values[kept]
    return (out, lse) if return_lse else out


def _pieces(
    block_mask: BlockMask | None, batch: int, head: int, queries: int
) -> Iterator[tuple[slice, slice | Tensor]]:
    """Query rows that share their keys, and those keys; a query block without keys is left out."""
    if block_mask is None:
        for start in range(0, queries, MOST_ROWS):
            yield slice(start, min(start + MOST_ROWS, queries)), slice(None)
        return
    query_block, key_block = block_mask.block_shape
    tokens = block_mask.blocks[batch, head].repeat_interleave(key_block, dim=1)[:, : block_mask.key_length]
    for row, kept in enumerate(tokens):
        if kept.any():
            yield slice(row * query_block, min((row + 1) * query_block, queries)), kept
