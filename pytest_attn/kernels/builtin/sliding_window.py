"""Sliding-window attention (Longformer, Beltagy et al., 2020; Mistral 7B, 2023) by tiles, as FlashAttention-2 does it.

Query i stands at key a = i + Skv - Sq and sees the keys a - left <= j <= a + right. Both ends grow with i, so a tile of
queries reaches one run of keys, from the first key of its first query to the last key of its last one. Only the tiles
of that run are visited, and masked where a window ends within one: the work is Sq (left + right + tile), whatever Skv.

The query heads of a group are rows of their key head, as in `gqa`. Padded sequences are taken one after the other, each
cut to its own length.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pytest_attn.kernels.builtin.flash_v2 import TILE, numerics
from pytest_attn.kernels.builtin.gqa import grouped
from pytest_attn.kernels.builtin.sequences import each_sequence
from pytest_attn.kernels.kernel import kernel
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES


@kernel(
    dtypes=BUILT_IN_DTYPES,
    lse=True,
    causal=True,
    gqa=True,
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
def sliding_window(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    return_lse: bool = False,
    tile: tuple[int, int] = (TILE, TILE),
    **variants: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention within `window_size` (left, right), -1 = no limit; causal is a right side of 0. `variants` are the
    keywords of `each_sequence` and `Logits.of`."""

    def attend(query: Tensor, key: Tensor, value: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
        return grouped(query, key, value, scale, tile, **changes)

    out, lse = each_sequence(attend, query, key, value, **variants)
    return (out, lse) if return_lse else out
