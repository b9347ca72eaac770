"""Grouped-query attention (Ainslie et al., 2023): the query heads of a group are more rows of their key head.

Query head h reads key head h // G, G = Hq / Hkv. The G queries of one position become G neighbouring rows, so that one
product serves the whole group, no key is copied, and a tile of rows keeps a short causal diagonal. What is then left is
FlashAttention-2 over Sq G rows.
"""

from __future__ import annotations

from torch import Tensor

from pytest_attn.kernels.builtin.causal import last_keys
from pytest_attn.kernels.builtin.flash_v2 import flash, numerics
from pytest_attn.kernels.kernel import kernel


@kernel(
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    value_dim=True,
    strided=True,
    deterministic=True,
    numerics=numerics,
)
def gqa(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    causal_top_left: bool = False,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of all key heads at once, each with the query heads of its group."""
    group = query.shape[1] // key.shape[1]
    last = last_keys(query, key, causal, causal_top_left).repeat_interleave(group)
    out, lse = flash(packed(query, group), key, value, scale, last)
    return (unpacked(out, group), unpacked(lse, group)) if return_lse else unpacked(out, group)


def packed(query: Tensor, group: int) -> Tensor:
    """`[B, Hkv, Sq G, D]` of `[B, Hkv G, Sq, D]`: the queries of one position stand together."""
    batch, heads, length, dim = query.shape
    return query.reshape(batch, heads // group, group, length, dim).transpose(2, 3).flatten(2, 3)


def unpacked(rows: Tensor, group: int) -> Tensor:
    """The way back, for an output `[B, Hkv, Sq G, Dv]` or a log-sum-exp `[B, Hkv, Sq G]`."""
    return rows.view(*rows.shape[:2], -1, group, *rows.shape[3:]).transpose(2, 3).flatten(1, 2)
