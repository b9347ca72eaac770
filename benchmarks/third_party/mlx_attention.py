"""`mlx.core.fast.scaled_dot_product_attention` on a CPU, where it is plain operations: the query is multiplied with the
scale, a scalar of its dtype, and stored; so are the logits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from refusals import CAUSAL_BIAS, WIDE_BIAS, absent
from torch import Tensor

import pytest_attn
from pytest_attn import EmptyRows, Numerics


@pytest_attn.kernel(
    name="mlx",
    devices=("cpu",),
    causal=True,
    gqa=True,
    value_dim=True,
    attn_bias=True,
    sinks=True,
    numerics=replace(Numerics.of_scaled_query(scale="input"), sinks="input"),
    empty_rows=EmptyRows(out="any"),
    refuses={
        **absent("mlx"),
        **WIDE_BIAS,
        **CAUSAL_BIAS,
    },
)
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool,
    attn_bias: Tensor | None,
    sinks: Tensor | None,
) -> Tensor:
    """The fallback of `mlx.core.fast.scaled_dot_product_attention`, on the CPU stream."""
    import mlx.core as mx

    given: dict[str, Any] = {"mask": "causal" if causal else None if attn_bias is None else mx.array(attn_bias)}
    given["sinks"] = None if sinks is None else mx.array(sinks.to(query.dtype))
    tensors = map(mx.array, (query, key, value))
    out = mx.fast.scaled_dot_product_attention(*tensors, scale=scale, stream=mx.cpu, **given)
    mx.eval(out)
    return torch.from_dlpack(out).clone()
