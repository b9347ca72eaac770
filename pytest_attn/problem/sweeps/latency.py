"""Cells whose time says something: 2 to 50 ms for a good kernel on two CPU cores, far more than a clock's error."""

from __future__ import annotations

from itertools import product

from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.vocabulary import DTYPES

HALF_AND_FULL = ("bfloat16", "float32")
HALF = ("bfloat16", "float16")
DENSE = ((1, 2048, 128), (2, 1024, 64), (4, 1024, 128), (8, 512, 64), (8, 512, 128))
"""(heads, length of queries and keys, head_dim)."""

CAUSAL = ((2, 2048, 128), (4, 1024, 128), (8, 1024, 64))
GROUPED = ((8, 2, 1024, 64), (8, 1, 512, 128), (6, 2, 1024, 128))
"""(query heads, key heads, length, head_dim)."""

SPARSE = ((1, 4096), (2, 2048))
"""(heads, length of queries and keys); head_dim 128."""

SPARSITIES = (0.5, 0.75, 0.9)
BLOCK_SHAPES = ((128, 128), (128, 512))
DECODE = ((8, 8, 16384), (8, 8, 32768), (16, 4, 16384), (32, 8, 8192))
"""(query heads, key heads, keys): one new token against a cache that is read once."""


@register("latency", "Latency: cells to time, 2 to 50 ms on two CPU cores")
def latency() -> Groups:
    """The groups of the latency sweep."""
    return {
        "latency_dense": tuple(
            Case(s, s, query_heads=h, head_dim=d, dtype=dtype, ask="out") for (h, s, d), dtype in product(DENSE, DTYPES)
        ),
        "latency_causal": tuple(
            Case(s, s, query_heads=h, head_dim=d, dtype=dtype, causal="bottom-right", ask="out")
            for (h, s, d), dtype in product(CAUSAL, DTYPES)
        ),
        "latency_grouped_heads": tuple(
            Case(s, s, query_heads=h, key_heads=kv, head_dim=d, dtype=dtype, ask="out")
            for (h, kv, s, d), dtype in product(GROUPED, HALF_AND_FULL)
        ),
        "latency_block_sparse": tuple(
            Case(s, s, query_heads=h, dtype=dtype, sparsity=sparsity, block_shape=shape, ask="out")
            for (h, s), sparsity, shape, dtype in product(SPARSE, SPARSITIES, BLOCK_SHAPES, HALF_AND_FULL)
            if (sparsity, shape) != (0.9, (128, 512))
        ),
        "latency_decode": tuple(
            Case(1, s, query_heads=h, key_heads=kv, dtype=dtype, ask="out")
            for (h, kv, s), dtype in product(DECODE, HALF)
        ),
    }
