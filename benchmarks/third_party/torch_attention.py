"""PyTorch's `scaled_dot_product_attention` on a CPU, one back end at a time. FlexAttention is the built-in `flex`."""

from __future__ import annotations

from typing import Any

import torch
from refusals import CAUSAL_BIAS, TOP_LEFT_CAUSAL, WIDE_BIAS
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

import pytest_attn
from pytest_attn import BackwardNumerics, Numerics
from pytest_attn.problem.problem import Problem

CLAIMS: dict[str, Any] = {
    "devices": ("cpu",),
    "causal": True,
    "causal_top_left": True,
    "gqa": True,
    "strided": True,
    "attn_bias": True,
    "backward": True,
}

REFUSES = {
    **TOP_LEFT_CAUSAL,
    **WIDE_BIAS,
    **CAUSAL_BIAS,
}


MATH = Numerics(
    probabilities="float32",
    normalized=True,
    backward=BackwardNumerics(score_gradients="float32", delta_of="probabilities", weights_of="softmax"),
)
"""Half types are converted to float32 before the first step, and gradients back after the last; each head of a group
has its own."""


def attend(
    backend: SDPBackend,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool,
    causal_top_left: bool,
    attn_bias: Tensor | None,
) -> Tensor:
    """`scaled_dot_product_attention` by one back end."""
    with sdpa_kernel(backend):
        return torch.nn.functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attn_bias,
            scale=scale,
            is_causal=causal or causal_top_left,
            enable_gqa=query.shape[1] != key.shape[1],
        )


def flash_numerics(problem: Problem) -> Numerics:
    """By the queries that the kernel takes at a time."""
    queries = problem.query_length
    half = Numerics.of_torch_flash(query_tile=256 if queries >= 768 else 64 if queries >= 192 else 32)
    return half if problem.dtype != torch.float32 else Numerics(backward=half.backward)


@pytest_attn.kernel(
    name="torch-math",
    value_dim=True,
    numerics=MATH,
    refuses=REFUSES,
    **CLAIMS,
)
def math(query: Tensor, key: Tensor, value: Tensor, **given: Any) -> Tensor:
    """`SDPBackend.MATH`, which computes half types in float32."""
    return attend(SDPBackend.MATH, query, key, value, **given)


@pytest_attn.kernel(name="torch-flash", numerics=flash_numerics, refuses=REFUSES, **CLAIMS)
def flash(query: Tensor, key: Tensor, value: Tensor, **given: Any) -> Tensor:
    """`SDPBackend.FLASH_ATTENTION` of the CPU."""
    return attend(SDPBackend.FLASH_ATTENTION, query, key, value, **given)
