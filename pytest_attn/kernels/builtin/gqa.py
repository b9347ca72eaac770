"""Grouped-query attention (Ainslie et al., 2023): the query heads of a group are more rows of their key head.

Query head h reads key head h // G, G = Hq / Hkv. The G queries of one position become G neighbouring rows, so that one
product serves the whole group, no key is copied, and a tile of rows keeps a short causal diagonal. What is then left is
FlashAttention-2 over Sq G rows.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pytest_attn.kernels.builtin.flash_v2 import TILE, flash, numerics
from pytest_attn.kernels.builtin.flash_v2_backward import flash_v2_backward
from pytest_attn.kernels.builtin.groups import packed, packed_logits, unpacked
from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.kernels.builtin.sequences import each_sequence
from pytest_attn.kernels.kernel import kernel
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES


@kernel(
    dtypes=BUILT_IN_DTYPES,
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
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
def gqa(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, return_lse: bool = False, **variants: Any
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of all key heads at once, each with the query heads of its group; `variants` are the keywords of
    `each_sequence` and `Logits.of`."""

    def attend(query: Tensor, key: Tensor, value: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
        return grouped(query, key, value, scale, **changes)

    out, lse = each_sequence(attend, query, key, value, **variants)
    return (out, lse) if return_lse else out


def grouped(
    query: Tensor, key: Tensor, value: Tensor, scale: float, tile: tuple[int, int] = (TILE, TILE), **changes: Any
) -> tuple[Tensor, Tensor]:
    """(out, lse) of sequences that all have as many keys as `key`; `changes` are the keywords of `Logits.of`."""
    group = query.shape[1] // key.shape[1]
    logits = packed_logits(Logits.of(query, key.shape[2], **changes), group)
    out, lse = flash(packed(query, group), key, value, scale, logits, tile)
    return unpacked(out, group), unpacked(lse, group)
