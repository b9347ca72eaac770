"""Attention under any mask, one chunk of queries at a time: `chunk x Skv` scores in memory, all keys of a row at once.

What is left where a mask has no structure that a flash kernel could use. The mask of a chunk exists only while its
queries are computed; the arithmetic is that of `naive`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.kernels.builtin.causal import last_keys
from pytest_attn.kernels.builtin.naive import whole_rows
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import BLAS_CHAIN, FEW_ROWS, Numerics
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.problem import Problem

CHUNK = 128
"""Queries at a time."""


def numerics(problem: Problem) -> Numerics:
    """As `naive`; the last chunk may be of few queries."""
    few = (problem.query_length - 1) % CHUNK + 1 <= FEW_ROWS
    chain = None if problem.dtype == torch.float32 and few else BLAS_CHAIN
    return Numerics(probabilities="input", logits="input", normalized=True, exp_error=2.0**-23, chain=chain)


@kernel(
    lse=True,
    causal=True,
    causal_top_left=True,
    block_sparse=True,
    value_dim=True,
    strided=True,
    deterministic=True,
    numerics=numerics,
)
def masked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    causal_top_left: bool = False,
    block_mask: BlockMask | None = None,
    return_lse: bool = False,
    chunk: int = CHUNK,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of all heads at once, `chunk` queries after the other."""
    out = query.new_empty((*query.shape[:3], value.shape[3]))
    lse = query.new_empty(query.shape[:3], dtype=torch.float32)
    last = last_keys(query, key, causal, causal_top_left)
    keys = torch.arange(key.shape[2], device=key.device)
    for start in range(0, query.shape[2], chunk):
        rows = slice(start, min(start + chunk, query.shape[2]))
        allowed = keys <= last[rows].unsqueeze(1)
        if block_mask is not None:
            allowed = _of_blocks(block_mask, rows, keys)
        out[:, :, rows], row_lse = whole_rows(query[:, :, rows], key, value, scale, allowed, return_lse)
        if row_lse is not None:
            lse[:, :, rows] = row_lse
    return (out, lse) if return_lse else out


def _of_blocks(block_mask: BlockMask, rows: slice, keys: Tensor) -> Tensor:
    """bool `[B, H, rows, Skv]`: what a block mask allows to some queries."""
    query_block, key_block = block_mask.block_shape
    queries = torch.arange(rows.start, rows.stop, device=keys.device) // query_block
    return block_mask.blocks[:, :, queries][..., keys // key_block]
