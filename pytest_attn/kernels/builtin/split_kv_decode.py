"""Flash-decoding (Dao, Haziza, Massa and Sizov, 2023): the keys are split, each part gives an output and a log-sum-exp.

One query per sequence leaves most of a device idle; parts of the keys can run side by side. With (O_c, L_c) of part c
over its own keys,

    L = log sum_c exp(L_c),  O = sum_c exp(L_c - L) O_c

The query heads of a group are rows of their key head, as in `gqa`. Partial results are float32.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.kernels.builtin import flash_v2
from pytest_attn.kernels.builtin.causal import last_keys
from pytest_attn.kernels.builtin.gqa import packed, unpacked
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.problem import Problem

SPLITS = 8
"""Parts of the keys; fewer where a part would be less than a tile."""


def numerics(problem: Problem) -> Numerics:
    """As `flash_v2`, merged through the log-sum-exp."""
    return replace(flash_v2.numerics(problem), split=True)


@kernel(
    lse=True,
    causal=True,
    gqa=True,
    value_dim=True,
    strided=True,
    deterministic=True,
    numerics=numerics,
)
def split_kv_decode(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    return_lse: bool = False,
    part: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention over `part` keys at a time; made for few queries, right for any number."""
    keys, group = key.shape[2], query.shape[1] // key.shape[1]
    part = part or max(-(-keys // SPLITS), flash_v2.TILE)
    rows = packed(query, group).float()
    last = last_keys(query, key, causal, False).repeat_interleave(group)
    parts = []
    for start in range(0, keys, part):
        span = slice(start, min(start + part, keys))
        parts.append(flash_v2.flash(rows, key[:, :, span], value[:, :, span], scale, last - start))
    out, lse = merged(parts)
    out = unpacked(out, group).to(query.dtype)
    return (out, unpacked(lse, group)) if return_lse else out


def merged(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """(out, lse) over all keys from those of the parts."""
    outs, lses = (torch.stack(tensors) for tensors in zip(*parts, strict=True))
    lse = lses.logsumexp(dim=0)
    # A row without any key: -inf less -inf is NaN.
    weights = torch.exp(lses - lse.masked_fill(lse.isneginf(), 0.0))
    return (weights.unsqueeze(4) * outs).sum(dim=0), lse
