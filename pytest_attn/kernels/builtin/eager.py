"""Matmul, softmax, matmul: what everyone writes first, for every kind of attention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.builtin.sequences import each_sequence
from pytest_attn.kernels.builtin.widened import blas_chain, half, last_place, wide, widened
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.problem import Problem

MOST_ROWS = 1024
"""Queries at a time, so that 24000 keys cost 100 MB of scores and not 2 GB."""


LANES = 8 if torch.backends.cpu.get_cpu_capability().startswith("AVX") else 4
"""Numbers of float32, at least, in the vectors that torch adds rows by."""


def numerics(problem: Problem) -> Numerics:
    """Probabilities stay in float32, or float64; torch's exponential is within a unit in the last place, and so is its
    tangent; and autograd goes back by the same arithmetic."""
    precision = wide(problem)
    backward = BackwardNumerics(
        score_gradients=precision, delta_of="probabilities", weights_of="softmax", grouped_gradients=precision
    )
    if half(problem):
        return Numerics(probabilities="float32", tanh_error=2.0**-22, backward=backward)
    step = min(problem.mask.row_step(problem.lengths), MOST_ROWS)
    lengths = {problem.lengths_of(batch).query for batch in range(problem.batch)} - {0}
    rows = {(length - 1) % step + 1 for length in (*lengths, step)}
    if problem.wants_grad:
        rows |= {problem.lengths_of(batch).key for batch in range(problem.batch)} - {0}
    return Numerics(
        exp_error=last_place(problem),
        chain=blas_chain(problem, -(-min(rows) // torch.get_num_threads())),
        row_chain=-(-problem.key_length // (LANES * 4 // problem.dtype.itemsize)),
        backward=backward,
    )


@kernel(
    dtypes=BUILT_IN_DTYPES,
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    block_sparse=True,
    block_sparse_causal=True,
    value_dim=True,
    strided=True,
    bsnd=True,
    deterministic=True,
    backward=True,
    window_size=True,
    seqused_k=True,
    cu_seqlens=True,
    block_table=True,
    unread_padding=True,
    softcap=True,
    alibi_slopes=True,
    attn_bias=True,
    sinks=True,
    numerics=numerics,
)
def eager(
    query: Tensor, key: Tensor, value: Tensor, *, return_lse: bool = False, **keywords: Any
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention in float32, or float64, over whole rows of scores, some queries of one head at a time; keywords are
    those of `each_sequence` and `attention`."""
    out, lse = each_sequence(attention, query, key, value, **keywords)
    return (out, lse) if return_lse else out


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    causal_top_left: bool = False,
    block_mask: BlockMask | None = None,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    attn_bias: Tensor | None = None,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(out, lse) of query `[B, Hq, Sq, D]`, key `[B, Hkv, Skv, D]`, value `[B, Hkv, Skv, Dv]`."""
    group = query.shape[1] // key.shape[1]
    out = query.new_zeros((*query.shape[:3], value.shape[3]))
    lse = widened(query.new_full(query.shape[:3], -torch.inf))
    if sinks is not None:
        # A query block without keys has its sink alone.
        lse.copy_(sinks.view(1, -1, 1))
    left, right = (math.inf if side < 0 else side for side in window_size)
    # Converted as a whole, so that autograd adds the gradients of a group in the wider type.
    key, value, length = widened(key), widened(value), key.shape[2]
    for batch, head in product(*map(range, query.shape[:2])):
        keys, values = (tensor[batch, head // group] for tensor in (key, value))
        for rows, kept in _pieces(block_mask, batch, head, query.shape[2], length):
            scores = widened(query[batch, head, rows]) @ keys[kept].T * scale
            at = torch.arange(rows.start, rows.stop, device=query.device).unsqueeze(1)
            tokens = torch.arange(length, device=query.device)[kept]
            # How many keys each key stands behind the diagonal that ends at the last key.
            ahead = tokens - (at + length - query.shape[2])
            if softcap:
                scores = softcap * torch.tanh(scores / softcap)
            if alibi_slopes is not None:
                scores -= alibi_slopes[head].to(scores.dtype) * ahead.abs()
            if attn_bias is not None:
                scores += attn_bias.expand(*query.shape[:2], -1, -1)[batch, head, rows][:, kept]
            hidden = (ahead > (0 if causal else right)) | (ahead < -left)
            scores.masked_fill_(hidden | (tokens > at) if causal_top_left else hidden, -torch.inf)
            if sinks is not None:
                scores = torch.cat([scores, sinks[head].to(scores.dtype).expand(len(scores), 1)], dim=1)
            lse[batch, head, rows] = scores.logsumexp(dim=1)
            # A row without keys would be softmax of nothing, NaN; its output is 0, and not -0.
            weights = scores.softmax(dim=1)[:, : len(tokens)].nan_to_num(0.0)
            out[batch, head, rows] = weights @ values[kept] + 0.0
    return out, lse


def _pieces(
    block_mask: BlockMask | None, batch: int, head: int, queries: int, keys: int
) -> Iterator[tuple[slice, slice | Tensor]]:
    """Query rows that share their keys, and those keys; a query block without keys is left out."""
    if block_mask is None:
        for start in range(0, queries, MOST_ROWS):
            yield slice(start, min(start + MOST_ROWS, queries)), slice(None)
        return
    query_block, key_block = block_mask.block_shape
    tokens = block_mask.blocks[batch, head].repeat_interleave(key_block, dim=1)[:, :keys]
    for row, kept in enumerate(tokens):
        if kept.any():
            yield slice(row * query_block, min((row + 1) * query_block, queries)), kept
