"""`Tensor.scaled_dot_product_attention` of tinygrad. Its CPU device needs clang; DEV=PYTHON needs nothing, and is slow.

Logits are divided by sqrt(D) in float32 and stored in the dtype of the inputs before the softmax.
"""

from __future__ import annotations

import torch
from refusals import CAUSAL_BIAS, TOP_LEFT_CAUSAL, WIDE_BIAS, absent
from torch import Tensor

import pytest_attn
from pytest_attn import EmptyRows, Numerics


@pytest_attn.kernel(
    name="tinygrad",
    devices=("cpu",),
    dtypes=("float32", "float16"),
    causal=True,
    causal_top_left=True,
    gqa=True,
    value_dim=True,
    any_scale=False,
    attn_bias=True,
    numerics=Numerics(normalized=True, logits="input"),
    empty_rows=EmptyRows(out="any"),
    refuses={
        **absent("tinygrad"),
        **TOP_LEFT_CAUSAL,
        **WIDE_BIAS,
        **CAUSAL_BIAS,
    },
)
def attention(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, causal_top_left: bool, attn_bias: Tensor | None
) -> Tensor:
    """`Tensor.scaled_dot_product_attention`, realized."""
    from tinygrad import Tensor as Lazy

    tensors = [Lazy(tensor.numpy()) for tensor in (query, key, value)]
    bias = None if attn_bias is None else Lazy(attn_bias.numpy())
    out = tensors[0].scaled_dot_product_attention(
        *tensors[1:], bias, is_causal=causal or causal_top_left, enable_gqa=query.shape[1] != key.shape[1]
    )
    return torch.from_numpy(out.numpy())
