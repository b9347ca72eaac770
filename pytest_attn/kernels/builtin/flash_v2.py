"""FlashAttention-2 (Dao, 2023): query tiles outside, key tiles inside, one division at the end.

For each tile of queries, over the tiles of keys that it sees,

    S = scale Q K^T, m' = max(m, rowmax(S)), P = exp(S - m')
    l = exp(m - m') l + rowsum(P),  O = exp(m - m') O + P V

and then O / l, with the log-sum-exp m + log(l). Nothing but the result outlives a tile of queries. A sink is the
maximum that a row begins with, at the sum 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.builtin.flash_v2_backward import backward_numerics, flash_v2_backward
from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.kernels.builtin.sequences import each_sequence
from pytest_attn.kernels.builtin.widened import last_place, wide, widened
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.problem import Problem

TILE = 64
"""Queries of a tile, and keys of a tile."""


def numerics(problem: Problem) -> Numerics:
    """All of it in float32, or float64; torch's exponential is within a unit in the last place, its tangent within two,
    and a product adds at most a tile of keys or queries, or a head dimension, in one chain."""
    chain = max(TILE, problem.head_dim, problem.value_dim if problem.wants_grad else 0)
    last = last_place(problem)
    return Numerics(
        probabilities=wide(problem),
        exp_error=last,
        tanh_error=2 * last,
        chain=chain,
        backward=backward_numerics(problem),
    )


@kernel(
    dtypes=BUILT_IN_DTYPES,
    lse=True,
    causal=True,
    causal_top_left=True,
    value_dim=True,
    strided=True,
    bsnd=True,
    deterministic=True,
    backward=flash_v2_backward,
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
def flash_v2(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    return_lse: bool = False,
    tile: tuple[int, int] = (TILE, TILE),
    **variants: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of all heads at once, `tile` (queries, keys) after tile; `variants` are the keywords of
    `each_sequence` and `Logits.of`."""

    def attend(query: Tensor, key: Tensor, value: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
        return flash(query, key, value, scale, Logits.of(query, key.shape[2], **changes), tile)

    out, lse = each_sequence(attend, query, key, value, **variants)
    return (out, lse) if return_lse else out


def flash(
    query: Tensor, key: Tensor, value: Tensor, scale: float, logits: Logits, tile: tuple[int, int] = (TILE, TILE)
) -> tuple[Tensor, Tensor]:
    """(out, lse) of the rows of `query` `[B, H, rows, D]`, to which `logits` belong."""
    out = query.new_empty((*query.shape[:3], value.shape[3]))
    lse = widened(query.new_empty(query.shape[:3]))
    for start in range(0, query.shape[2], tile[0]):
        rows = slice(start, min(start + tile[0], query.shape[2]))
        queries = widened(query[:, :, rows])
        row_max = queries.new_full((*queries.shape[:3], 1), -torch.inf)
        row_sum = torch.zeros_like(row_max)
        if logits.sinks is not None:
            row_max, row_sum = logits.sinks[:, rows].to(row_max.dtype).expand_as(row_max), torch.ones_like(row_max)
        total = queries.new_zeros((*queries.shape[:3], value.shape[3]))
        first, stop = logits.seen(rows, key.shape[2])
        for left in range(first // tile[1] * tile[1], stop, tile[1]):
            span = slice(left, min(left + tile[1], stop))
            scores = logits.changed(queries @ widened(key[:, :, span]).mT * scale, rows, span)
            new_max = torch.maximum(row_max, scores.amax(dim=3, keepdim=True))
            # A row that has seen no key has the maximum -inf, and -inf less -inf is NaN.
            shift = new_max.masked_fill(new_max.isneginf(), 0.0)
            p, decay = torch.exp(scores - shift), torch.exp(row_max - shift)
            row_sum = row_sum * decay + p.sum(dim=3, keepdim=True)
            total = total * decay + p @ widened(value[:, :, span])
            row_max = new_max
        out[:, :, rows] = total / row_sum.masked_fill(row_sum == 0, 1.0)
        lse[:, :, rows] = (row_max + row_sum.log()).squeeze(3)
    return out, lse
