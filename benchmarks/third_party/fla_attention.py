"""`parallel_attn` of flash-linear-attention: causal softmax attention in Triton, here under Triton's interpreter.

It runs on the CPU where TRITON_INTERPRET=1 is set before Triton is imported; products of bfloat16 are wrong there.
"""

from __future__ import annotations

import os

from refusals import absent
from torch import Tensor

import pytest_attn
from pytest_attn import Numerics

os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest_attn.kernel(
    name="fla",
    devices=("cpu",),
    dtypes=("float32", "float16"),
    causal=True,
    cross_attention=False,
    gqa=True,
    value_dim=True,
    bsnd=True,
    strided=True,
    sinks=True,
    numerics=Numerics(),
    refuses={
        **absent("fla", "triton", "einops"),
        "dense: it is causal": lambda problem: problem.causal is None,
    },
)
def attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float, causal: bool, sinks: Tensor | None) -> Tensor:
    """`parallel_attn` of sequences `[B, S, H, D]`."""
    from fla.ops.attn import parallel_attn

    tokens_first = [tensor.transpose(1, 2).contiguous() for tensor in (query, key, value)]
    return parallel_attn(*tokens_first, scale=scale, sink_bias=sinks).transpose(1, 2)
