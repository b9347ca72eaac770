"""SageAttention 1: products of query and key in int8, one scale to a block, in Triton, here under Triton's interpreter.

What `sageattn` does after it has asked for a CUDA device, called on the CPU: TRITON_INTERPRET=1 is set before Triton is
imported. It subtracts the mean key from the caller's tensor; the adapter gives it a copy.
"""

from __future__ import annotations

import os

from refusals import absent
from torch import Tensor

import pytest_attn
from pytest_attn import Numerics

os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest_attn.kernel(
    name="sage",
    devices=("cpu",),
    dtypes=("float16",),
    head_dims=(64, 128),
    causal=True,
    gqa=True,
    numerics=Numerics(logits="float8_e4m3fn", stored_accumulator="float16", tile=64),
    refuses={
        **absent("sageattention", "triton"),
        "causal with other lengths": lambda problem: (
            problem.causal is not None and problem.query_length != problem.key_length
        ),
    },
)
def attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float, causal: bool) -> Tensor:
    """The kernel for keys whose mean is taken out, quantised by blocks of 128 queries and 64 keys."""
    from sageattention.core import attn_false, attn_true, per_block_int8

    centred = key - key.mean(dim=2, keepdim=True)
    quantised = per_block_int8(query, centred, sm_scale=scale)
    (query8, query_scale, key8, key_scale), forward = quantised, attn_true if causal else attn_false
    return forward(query8, key8, value, query_scale, key_scale, output_dtype=query.dtype)
