"""Narrow claims, as kernels of other people make them; each attribute is a kernel, right or not."""

from __future__ import annotations

from typing import Any

import pytest_attn
from pytest_attn.kernels.kernel import Kernel

EVERY_VARIANT = (
    *("window_size", "seqused_k", "cu_seqlens", "block_table", "softcap", "alibi_slopes", "attn_bias", "sinks"),
    "num_splits",
)


def claiming(claims: dict[str, Any]) -> Kernel:
    """A kernel that is never run."""
    return pytest_attn.kernel(**claims)(lambda *tensors, **keywords: None)


everything = claiming(
    {
        **dict.fromkeys(("lse", "causal", "causal_top_left", "gqa", "block_sparse", "block_sparse_causal"), True),
        **dict.fromkeys(("value_dim", "strided", "bsnd", "backward"), True),
        "variants": EVERY_VARIANT,
    }
)
bfloat16_causal_groups = claiming({"dtypes": "bfloat16", "causal": True, "gqa": True})
float16_dense_128 = claiming({"dtypes": "float16", "head_dims": 128, "any_scale": False})
float16_causal_self_64 = claiming(
    {
        **{"dtypes": "float16", "head_dims": 64, "causal": True, "cross_attention": False},
        "refuses": {"dense": lambda problem: problem.causal is None},
    }
)
packed_causal = claiming(
    {
        **{"causal": True, "gqa": True, "cu_seqlens": True},
        "refuses": {
            "batches that are not packed": lambda problem: problem.variant("cu_seqlens") is None,
            "dense": lambda problem: problem.causal is None,
        },
    }
)
paged_one_token = claiming(
    {
        **{"causal": True, "gqa": True, "block_table": True, "lse": True},
        "refuses": {
            "more than one query": lambda problem: problem.query_length > 1,
            "caches without pages": lambda problem: problem.variant("block_table") is None,
        },
    }
)
block_sparse_64 = claiming(
    {
        **{"dtypes": ("bfloat16", "float16"), "lse": True, "block_sparse": True, "block_sizes": 64},
        "refuses": {"dense": lambda problem: problem.dense},
    }
)
float32_gradients = claiming({"dtypes": "float32", "causal": True, "backward": True, "lse": True})
biases_strided = claiming(
    {
        **{"causal_top_left": True, "gqa": True, "attn_bias": True, "strided": True},
    }
)
multiples_of_16 = claiming(
    {
        **{"causal": True, "lse": True},
        "refuses": {"other lengths": lambda problem: bool(problem.query_length % 16 or problem.key_length % 16)},
    }
)
five_key_heads = claiming(
    {
        **{"causal": True, "gqa": True, "key_heads": 5},
        "refuses": {"more queries than keys": lambda problem: problem.query_length > problem.key_length},
    }
)
windows_sinks = claiming(
    {
        **{"dtypes": "bfloat16", "causal": True, "gqa": True, "window_size": True, "sinks": True},
        "refuses": {"dense": lambda problem: problem.causal is None},
    }
)
float64_odd_dims = claiming({"dtypes": "float64", "head_dims": (48, 112), "lse": True})


PROFILES = {name: value for name, value in globals().items() if isinstance(value, Kernel)}
