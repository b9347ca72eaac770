"""The operation ScaledDotProductAttention-13 of OpenVINO, compiled for the CPU in float32."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from refusals import CAUSAL_BIAS, TOP_LEFT_CAUSAL, absent
from torch import Tensor

import pytest_attn
from pytest_attn import EmptyRows, Numerics


@cache
def compiled(causal: bool, biased: bool) -> Any:
    """The model of one operation, of any shape."""
    import openvino as ov
    from openvino import opset13 as ops

    tensors = [ops.parameter([-1, -1, -1, -1], ov.Type.f32) for _ in range(4 if biased else 3)]
    scale = ops.parameter([], ov.Type.f32)
    mask = tensors[3] if biased else None
    if mask is None:
        mask = ops.constant(0.0, ov.Type.f32)
    found = ops.scaled_dot_product_attention(*tensors[:3], mask, scale, causal=causal)
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return ov.Core().compile_model(ov.Model([found], [*tensors, scale]), "CPU", hints)


@pytest_attn.kernel(
    name="openvino",
    devices=("cpu",),
    dtypes=("float32",),
    causal=True,
    causal_top_left=True,
    value_dim=True,
    attn_bias=True,
    numerics=Numerics(normalized=True),
    empty_rows=EmptyRows(out="any"),
    refuses={**absent("openvino"), **TOP_LEFT_CAUSAL, **CAUSAL_BIAS},
)
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool,
    causal_top_left: bool,
    attn_bias: Tensor | None,
) -> Tensor:
    """`opset13.scaled_dot_product_attention`."""
    masks = [] if attn_bias is None else [attn_bias]
    given = [tensor.numpy() for tensor in (query, key, value, *masks, torch.tensor(scale))]
    found = compiled(causal or causal_top_left, bool(masks))(given)
    return torch.from_numpy(found[0].copy())
