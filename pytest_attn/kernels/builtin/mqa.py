"""Multi-query attention (Shazeer, 2019): one key head for all query heads, the grouped one with a single group."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pytest_attn.kernels.builtin.flash_v2 import numerics
from pytest_attn.kernels.builtin.flash_v2_backward import flash_v2_backward
from pytest_attn.kernels.builtin.gqa import gqa
from pytest_attn.kernels.kernel import kernel
from pytest_attn.problem.case import DTYPES


@kernel(
    key_heads=(1,),
    dtypes=(*DTYPES, "float64"),
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
def mqa(query: Tensor, key: Tensor, value: Tensor, **keywords: Any) -> Tensor | tuple[Tensor, Tensor]:
    """`gqa` of one key head."""
    found: Tensor | tuple[Tensor, Tensor] = gqa(query, key, value, **keywords)
    return found
