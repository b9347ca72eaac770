"""Narrow claims, as kernels of other people make them: keywords of `pytest_attn.kernel`."""

from __future__ import annotations

from typing import Any

EVERY_VARIANT = (
    *("window_size", "seqused_k", "cu_seqlens", "block_table", "softcap", "alibi_slopes", "attn_bias", "sinks"),
    "num_splits",
)

FULL: dict[str, Any] = {
    **dict.fromkeys(("lse", "causal", "causal_top_left", "gqa", "block_sparse", "block_sparse_causal"), True),
    **dict.fromkeys(("value_dim", "strided", "bsnd", "backward"), True),
    "variants": EVERY_VARIANT,
}

PROFILES: dict[str, dict[str, Any]] = {
    "bfloat16, causal, groups, output alone": {"dtypes": "bfloat16", "causal": True, "gqa": True},
    "float16, dense, head_dim 128": {"dtypes": "float16", "head_dims": 128, "any_scale": False},
    "float16, causal self-attention, head_dim 64, output alone": {
        **{"dtypes": "float16", "head_dims": 64, "causal": True, "cross_attention": False},
        "refuses": {"dense": lambda problem: problem.causal is None},
    },
    "packed and causal only": {
        **{"causal": True, "gqa": True, "cu_seqlens": True},
        "refuses": {
            "batches that are not packed": lambda problem: problem.variant("cu_seqlens") is None,
            "dense": lambda problem: problem.causal is None,
        },
    },
    "paged decoding of one token": {
        **{"causal": True, "gqa": True, "block_table": True, "lse": True},
        "refuses": {
            "more than one query": lambda problem: problem.query_length > 1,
            "caches without pages": lambda problem: problem.variant("block_table") is None,
        },
    },
    "block-sparse at 64 x 64 with LSE": {
        **{"dtypes": ("bfloat16", "float16"), "lse": True, "block_sparse": True, "block_sizes": 64},
        "refuses": {"dense": lambda problem: problem.dense},
    },
    "float32 with gradients": {"dtypes": "float32", "causal": True, "backward": True, "lse": True},
    "biases in strided memory, top-left": {
        **{"causal_top_left": True, "gqa": True, "attn_bias": True, "strided": True},
    },
    "lengths in multiples of 16": {
        **{"causal": True, "lse": True},
        "refuses": {"other lengths": lambda problem: bool(problem.query_length % 16 or problem.key_length % 16)},
    },
    "no more queries than keys, 5 key heads": {
        **{"causal": True, "gqa": True, "key_heads": 5},
        "refuses": {"more queries than keys": lambda problem: problem.query_length > problem.key_length},
    },
    "windows and sinks, bfloat16": {
        **{"dtypes": "bfloat16", "causal": True, "gqa": True, "window_size": True, "sinks": True},
        "refuses": {"dense": lambda problem: problem.causal is None},
    },
    "float64, head_dim 48 and 112": {"dtypes": "float64", "head_dims": (48, 112), "lse": True},
}
