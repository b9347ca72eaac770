"""FlashAttention, algorithm 1 of Dao et al. (2022): key tiles outside, query tiles inside.

For each tile of keys, and for each tile of queries that may see it,

    S = scale Q K^T, m~ = rowmax(S), P~ = exp(S - m~), l~ = rowsum(P~)
    m' = max(m, m~), l' = exp(m - m') l + exp(m~ - m') l~
    O = (exp(m - m') l O + exp(m~ - m') P~ V) / l'

The output is normalised at every step, so that O, m and l are always those of the keys seen so far. They are kept for
all queries, in float32, or float64: memory grows with Sq.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.builtin import flash_v2
from pytest_attn.kernels.builtin.flash_v2 import TILE
from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.kernels.builtin.sequences import each_sequence
from pytest_attn.kernels.builtin.widened import wide, widened
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.problem import Problem


def numerics(problem: Problem) -> Numerics:
    """As `flash_v2`, and each tile of keys rounds the running output twice more: it is multiplied by l and divided by
    l'."""
    return replace(flash_v2.numerics(problem), stored_accumulator=wide(problem), tile=TILE // 2)


@kernel(
    dtypes=BUILT_IN_DTYPES,
    lse=True,
    causal=True,
    causal_top_left=True,
    value_dim=True,
    strided=True,
    bsnd=True,
    deterministic=True,
    window_size=True,
    seqused_k=True,
    cu_seqlens=True,
    unread_padding=True,
    softcap=True,
    alibi_slopes=True,
    attn_bias=True,
    sinks=True,
    numerics=numerics,
)
def flash_v1(
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
        return by_key_tiles(query, key, value, scale, Logits.of(query, key.shape[2], **changes), tile)

    out, lse = each_sequence(attend, query, key, value, **variants)
    return (out, lse) if return_lse else out


def by_key_tiles(
    query: Tensor, key: Tensor, value: Tensor, scale: float, logits: Logits, tile: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """(out, lse) of sequences that all have as many keys as `key`."""
    out = widened(query.new_zeros((*query.shape[:3], value.shape[3])))
    row_max = widened(query.new_full((*query.shape[:3], 1), -torch.inf))
    row_sum = torch.zeros_like(row_max)
    if logits.sinks is not None:
        row_max, row_sum = logits.sinks.to(row_max.dtype).expand_as(row_max).clone(), torch.ones_like(row_max)
    for first in range(0, key.shape[2], tile[1]):
        span = slice(first, min(first + tile[1], key.shape[2]))
        keys, values = widened(key[:, :, span]), widened(value[:, :, span])
        for start in range(0, query.shape[2], tile[0]):
            rows = slice(start, min(start + tile[0], query.shape[2]))
            seen, stop = logits.seen(rows, key.shape[2])
            if stop <= span.start or seen >= span.stop:
                continue
            scores = logits.changed(widened(query[:, :, rows]) @ keys.mT * scale, rows, span)
            tile_max = scores.amax(dim=3, keepdim=True)
            new_max = torch.maximum(row_max[:, :, rows], tile_max)
            # A row that has seen no key has the maximum -inf, and -inf less -inf is NaN.
            shift = tile_max.masked_fill(tile_max.isneginf(), 0.0)
            new_shift = new_max.masked_fill(new_max.isneginf(), 0.0)
            p = torch.exp(scores - shift)
            before = torch.exp(row_max[:, :, rows] - new_shift) * row_sum[:, :, rows]
            here = torch.exp(tile_max - new_shift)
            new_sum = before + here * p.sum(dim=3, keepdim=True)
            weighted = before * out[:, :, rows] + here * (p @ values)
            out[:, :, rows] = weighted / new_sum.masked_fill(new_sum == 0, 1.0)
            row_max[:, :, rows], row_sum[:, :, rows] = new_max, new_sum
    return out.to(query.dtype), (row_max + row_sum.log()).squeeze(3)
