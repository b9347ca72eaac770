"""Sliding-window attention (Longformer, Beltagy et al., 2020; Mistral 7B, 2023) by tiles, as FlashAttention-2 does it.

Query i stands at key a = i + Skv - Sq and sees the keys a - left <= j <= a + right. Both ends grow with i, so a tile of
queries reaches one run of keys, from the first key of its first query to the last key of its last one. Only the tiles
of that run are visited, and masked where a window ends within one: the work is Sq (left + right + tile), whatever Skv.

The query heads of a group are rows of their key head, as in `gqa`. Padded sequences are taken one after the other, each
cut to its own length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.kernels.builtin.flash_v2 import TILE, flash, numerics
from pytest_attn.kernels.builtin.gqa import packed, unpacked
from pytest_attn.kernels.kernel import kernel


@kernel(
    lse=True,
    causal=True,
    gqa=True,
    value_dim=True,
    strided=True,
    deterministic=True,
    window_size=True,
    seqused_k=True,
    unread_padding=True,
    numerics=numerics,
)
def sliding_window(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    seqused_k: Tensor | None = None,
    return_lse: bool = False,
    tile: tuple[int, int] = (TILE, TILE),
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention within the window (left, right), -1 = no limit; causal is a right side of 0."""
    window = (window_size[0], 0 if causal else window_size[1])
    if seqused_k is None:
        out, lse = windowed(query, key, value, scale, window, tile)
    else:
        found = [
            windowed(query[one], key[one, :, :length], value[one, :, :length], scale, window, tile)
            for batch, length in enumerate(seqused_k.tolist())
            for one in [slice(batch, batch + 1)]
        ]
        out, lse = (torch.cat(tensors) for tensors in zip(*found, strict=True))
    return (out, lse) if return_lse else out


def windowed(
    query: Tensor, key: Tensor, value: Tensor, scale: float, window: tuple[int, int], tile: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """(out, lse) of sequences that all have as many keys as `key`."""
    group = query.shape[1] // key.shape[1]
    first, last = (ends.repeat_interleave(group) for ends in window_ends(query, key.shape[2], window))
    out, lse = flash(packed(query, group), key, value, scale, last, tile, first)
    return unpacked(out, group), unpacked(lse, group)


def window_ends(query: Tensor, keys: int, window: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """int64 `[Sq]` twice, ascending: the first and the last of `keys` keys that each query sees; below 0, or beyond the
    last key, where the window hangs over."""
    (left, right), queries = window, query.shape[2]
    at = torch.arange(queries, device=query.device) + keys - queries
    first = torch.zeros_like(at) if left < 0 else at - left
    last = torch.full_like(at, keys - 1) if right < 0 else at + right
    return first, last
