"""The backward pass of FlashAttention-2 (Dao, 2023, algorithm 2): key tiles outside, query tiles inside.

With delta = rowsum(dO O), for each tile of keys, and for each tile of queries that sees some of it,

    P = exp(scale Q K^T - lse),  dP = dO V^T,  dS = P (dP - delta)
    dV += P^T dO,  dK += scale dS^T Q,  dQ += scale dS K

Nothing of the score matrix is kept: P comes from the log-sum-exp of the forward pass. The query heads of a group are
rows of their key head, as in `gqa`, and so dK and dV are sums over the group. All of it is float32, or float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.builtin.groups import packed, packed_logits, unpacked
from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.kernels.builtin.sequences import by_sequence
from pytest_attn.kernels.builtin.widened import wide, widened
from pytest_attn.problem.problem import Problem

TILE = 64
"""Queries of a tile, and keys of a tile."""


def backward_numerics(problem: Problem) -> BackwardNumerics:
    """No gradient is rounded before the result."""
    return BackwardNumerics(score_gradients=wide(problem), grouped_gradients=wide(problem))


@by_sequence
def flash_v2_backward(
    grad_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    *,
    scale: float,
    causal: bool = False,
    causal_top_left: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    **absent: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """(dq, dk, dv), dense, causal or of a window; the keywords of other variants say that there is none."""
    keys, group = key.shape[2], query.shape[1] // key.shape[1]
    logits = Logits.of(query, keys, causal=causal, causal_top_left=causal_top_left, window_size=window_size)
    logits = packed_logits(logits, group)
    queries, grads, outs = (widened(packed(tensor, group)) for tensor in (query, grad_out, out))
    delta = (grads * outs).sum(dim=3, keepdim=True)
    # A row without keys has no P: its LSE of -inf would make NaN.
    row_lse = packed(lse.unsqueeze(3), group)
    row_lse = row_lse.masked_fill(row_lse.isneginf(), 0.0)
    dq, dk, dv = (torch.zeros(tensor.shape, dtype=queries.dtype, device=key.device) for tensor in (queries, key, value))
    for left in range(0, keys, TILE):
        span = slice(left, min(left + TILE, keys))
        tile_key, tile_value = widened(key[:, :, span]), widened(value[:, :, span])
        for start in range(0, queries.shape[2], TILE):
            rows = slice(start, min(start + TILE, queries.shape[2]))
            first, stop = logits.seen(rows, keys)
            if stop <= span.start or first >= span.stop:
                continue
            p = torch.exp(logits.changed(queries[:, :, rows] @ tile_key.mT * scale, rows, span) - row_lse[:, :, rows])
            ds = p * (grads[:, :, rows] @ tile_value.mT - delta[:, :, rows]) * scale
            dv[:, :, span] += p.mT @ grads[:, :, rows]
            dk[:, :, span] += ds.mT @ queries[:, :, rows]
            dq[:, :, rows] += ds @ tile_key
    return unpacked(dq, group).to(query.dtype), dk.to(key.dtype), dv.to(value.dtype)
