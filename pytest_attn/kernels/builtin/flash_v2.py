"""FlashAttention-2 (Dao, 2023): query tiles outside, key tiles inside, one division at the end.

For each tile of queries, over the tiles of keys up to the causal diagonal,

    S = scale Q K^T, m' = max(m, rowmax(S)), P = exp(S - m')
    l = exp(m - m') l + rowsum(P),  O = exp(m - m') O + P V

and then O / l, with the log-sum-exp m + log(l). Nothing but the result outlives a tile of queries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.kernels.builtin.causal import last_keys
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.problem import Problem

TILE = 64
"""Queries of a tile, and keys of a tile."""


def numerics(problem: Problem) -> Numerics:
    """All of it in float32; torch's exponential is within a unit in the last place, and a product adds at most a tile
    of keys, or a head dimension, in one chain."""
    return Numerics(probabilities="float32", exp_error=2.0**-23, chain=max(TILE, problem.head_dim))


@kernel(
    lse=True,
    causal=True,
    causal_top_left=True,
    value_dim=True,
    strided=True,
    deterministic=True,
    numerics=numerics,
)
def flash_v2(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    causal_top_left: bool = False,
    return_lse: bool = False,
    tile: tuple[int, int] = (TILE, TILE),
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of all heads at once, `tile` (queries, keys) after tile."""
    out, lse = flash(query, key, value, scale, last_keys(query, key, causal, causal_top_left), tile)
    return (out, lse) if return_lse else out


def flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    last: Tensor,
    tile: tuple[int, int] = (TILE, TILE),
    first: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(out, lse) of the rows of `query` `[B, H, rows, D]`, of which each may attend to the keys up to its own in `last`
    `[rows]`, and from its own in `first` `[rows]` (None: from key 0), both ascending."""
    out = query.new_empty((*query.shape[:3], value.shape[3]))
    lse = query.new_empty(query.shape[:3], dtype=torch.float32)
    for start in range(0, query.shape[2], tile[0]):
        rows = slice(start, min(start + tile[0], query.shape[2]))
        queries = query[:, :, rows].float()
        row_max = queries.new_full((*queries.shape[:3], 1), -torch.inf)
        row_sum = torch.zeros_like(row_max)
        total = queries.new_zeros((*queries.shape[:3], value.shape[3]))
        diagonal = min(int(last[rows][-1]) + 1, key.shape[2])
        reached = 0 if first is None else max(int(first[rows][0]), 0) // tile[1] * tile[1]
        for left in range(reached, diagonal, tile[1]):
            span = slice(left, min(left + tile[1], diagonal))
            scores = queries @ key[:, :, span].float().mT * scale
            positions = torch.arange(span.start, span.stop, device=key.device)
            hidden = positions > last[rows].unsqueeze(1)
            if first is not None:
                hidden |= positions < first[rows].unsqueeze(1)
            scores.masked_fill_(hidden, -torch.inf)
            new_max = torch.maximum(row_max, scores.amax(dim=3, keepdim=True))
            # A row that has seen no key has the maximum -inf, and -inf less -inf is NaN.
            shift = new_max.masked_fill(new_max.isneginf(), 0.0)
            p, decay = torch.exp(scores - shift), torch.exp(row_max - shift)
            row_sum = row_sum * decay + p.sum(dim=3, keepdim=True)
            total = total * decay + p @ value[:, :, span].float()
            row_max = new_max
        out[:, :, rows] = total / row_sum.masked_fill(row_sum == 0, 1.0)
        lse[:, :, rows] = (row_max + row_sum.log()).squeeze(3)
    return out, lse
