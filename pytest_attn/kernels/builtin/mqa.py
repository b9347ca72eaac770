"""Multi-query attention (Shazeer, 2019): one key head for all query heads, the grouped one with a single group."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pytest_attn.kernels.builtin.flash_v2 import numerics
from pytest_attn.kernels.builtin.gqa import gqa
from pytest_attn.kernels.kernel import kernel


@kernel(
    key_heads=(1,),
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    value_dim=True,
    strided=True,
    deterministic=True,
    numerics=numerics,
)
def mqa(query: Tensor, key: Tensor, value: Tensor, **keywords: Any) -> Tensor | tuple[Tensor, Tensor]:
    """`gqa` of one key head."""
    found: Tensor | tuple[Tensor, Tensor] = gqa(query, key, value, **keywords)
    return found
