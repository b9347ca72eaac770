"""Attention of new queries to a KV cache, contiguous or paged (PagedAttention, Kwon et al., 2023), split after split.

For one sequence after the other, of length L, causal or within a window that ends at its last key:

    key j of a paged cache is row j % page of page block_table[b, j // page]
    split c = at most SPLIT of the keys that the queries see, gathered in order; it gives (O_c, L_c)
    the parts are merged through their log-sum-exp, as in `split_kv_decode`

Only keys that some query sees are read, so nothing beyond L, nor an entry of the table that no such key needs. What is
gathered at a time is one split, however long the cache. The query heads of a group are rows of their key head, as in
`gqa`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.builtin.flash_v2 import flash
from pytest_attn.kernels.builtin.groups import packed, packed_logits, unpacked
from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.kernels.builtin.sequences import of_sequence
from pytest_attn.kernels.builtin.split_kv_decode import merged, numerics
from pytest_attn.kernels.builtin.widened import widened
from pytest_attn.kernels.kernel import kernel
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES

SPLIT = 512
"""Keys that are gathered at a time."""


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
    window_size=True,
    seqused_k=True,
    block_table=True,
    unread_padding=True,
    softcap=True,
    alibi_slopes=True,
    attn_bias=True,
    sinks=True,
    numerics=numerics,
)
def kv_cache_decode(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    seqused_k: Tensor | None = None,
    block_table: Tensor | None = None,
    cache_seqlens: Tensor | None = None,
    return_lse: bool = False,
    split: int = SPLIT,
    **changes: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention over `split` keys of a sequence at a time; made for few queries, right for any number. `changes` are
    the keywords of `Logits.of`."""
    lengths = seqused_k if block_table is None else cache_seqlens
    group = query.shape[1] // key.shape[1 if block_table is None else 2]
    found = []
    for batch in range(len(query)):
        length = key.shape[2] if lengths is None else int(lengths[batch])
        rows = widened(packed(query[batch : batch + 1], group))
        logits = packed_logits(Logits.of(query, length, **of_sequence(changes, batch, length)), group)
        begin, stop = logits.seen(slice(None), length)
        stop, parts = max(stop, begin), []
        for start in range(begin, max(stop, begin + 1), split):
            span = slice(start, min(start + split, stop))
            keys, values = (cached(cache, batch, span, block_table) for cache in (key, value))
            parts.append(flash(rows, keys, values, scale, logits.split(start)))
        found.append(merged(parts, logits.sinks))
    out, lse = (unpacked(torch.cat(tensors), group) for tensors in zip(*found, strict=True))
    return (out.to(query.dtype), lse) if return_lse else out.to(query.dtype)


def cached(cache: Tensor, batch: int, span: slice, block_table: Tensor | None) -> Tensor:
    """`[1, H, keys, D]`: the keys of a span of one sequence, from a cache `[B, H, S, D]`, or from pages
    `[pages, page, H, D]` by way of their table `[B, pages of a sequence]`."""
    if block_table is None:
        return cache[batch : batch + 1, :, span]
    at = torch.arange(span.start, span.stop, device=cache.device)
    pages = block_table[batch, at // cache.shape[1]].long()
    return cache[pages, at % cache.shape[1]].transpose(0, 1).unsqueeze(0)
