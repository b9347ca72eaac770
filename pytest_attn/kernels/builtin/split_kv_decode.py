"""Flash-decoding (Dao, Haziza, Massa and Sizov, 2023): the keys are split, each part gives an output and a log-sum-exp.

One query per sequence leaves most of a device idle; parts of the keys can run side by side. With (O_c, L_c) of part c
over its own keys,

    L = log sum_c exp(L_c),  O = sum_c exp(L_c - L) O_c

The query heads of a group are rows of their key head, as in `gqa`. Partial results are float32, or float64. A sink is
merged as one part more, whose values are 0. With `num_splits` the parts are returned as they are, for another kernel to
merge.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.builtin import flash_v2
from pytest_attn.kernels.builtin.groups import packed, packed_logits, unpacked
from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.kernels.builtin.sequences import each_sequence
from pytest_attn.kernels.builtin.widened import widened
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.problem import Problem

SPLITS = 8
"""Parts of the keys; fewer where a part would be less than a tile."""


def numerics(problem: Problem) -> Numerics:
    """As `flash_v2`, merged through the log-sum-exp."""
    return replace(flash_v2.numerics(problem), split=True)


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
    num_splits=True,
    split_tile=flash_v2.TILE,
    numerics=numerics,
)
def split_kv_decode(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    return_lse: bool = False,
    part: int | None = None,
    num_splits: int = 0,
    **variants: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention over `part` keys at a time; made for few queries, right for any number. With `num_splits` the
    results of so many parts, whole tiles each, come first in both tensors, not merged. `variants` are the keywords of
    `each_sequence` and `Logits.of`."""

    def attend(query: Tensor, key: Tensor, value: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
        keys, group = key.shape[2], query.shape[1] // key.shape[1]
        size = part or max(-(-keys // SPLITS), flash_v2.TILE)
        if num_splits:
            size = max(-(-keys // (num_splits * flash_v2.TILE)), 1) * flash_v2.TILE
        rows, logits = widened(packed(query, group)), packed_logits(Logits.of(query, keys, **changes), group)
        parts = []
        for start in range(0, num_splits * size or max(keys, 1), size):
            span = slice(start, min(start + size, keys))
            parts.append(flash_v2.flash(rows, key[:, :, span], value[:, :, span], scale, logits.split(start)))
        if num_splits:
            outs, lses = zip(*parts, strict=True)
            return torch.stack([unpacked(out, group) for out in outs]), torch.stack([unpacked(e, group) for e in lses])
        out, lse = merged(parts, logits.sinks)
        return unpacked(out, group).to(query.dtype), unpacked(lse, group)

    out, lse = each_sequence(attend, query, key, value, **variants)
    return (out, lse) if return_lse else out


def merged(parts: list[tuple[Tensor, Tensor]], sinks: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(out, lse) over all keys from those of the parts, and the sinks `[H, rows, 1]` beside them."""
    outs, lses = (torch.stack(tensors) for tensors in zip(*parts, strict=True))
    every = lses if sinks is None else torch.cat([lses, sinks.squeeze(2).to(lses.dtype).expand_as(lses[:1])])
    lse = every.logsumexp(dim=0)
    # A row without any key: -inf less -inf is NaN.
    weights = torch.exp(lses - lse.masked_fill(lse.isneginf(), 0.0))
    return (weights.unsqueeze(4) * outs).sum(dim=0), lse
