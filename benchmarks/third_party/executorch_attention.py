"""`llama::custom_sdpa` of ExecuTorch: flash attention for a CPU, queries behind the keys before them.

Its sequences are `[B, S, H, D]`, and its last query sees the last key. The operation ends the process where there are
more queries than keys.
"""

from __future__ import annotations

from typing import Any

import torch
from refusals import absent
from torch import Tensor

import pytest_attn
from pytest_attn import EmptyRows, Numerics


@pytest_attn.kernel(
    name="executorch",
    devices=("cpu",),
    dtypes=("float32",),
    causal=True,
    gqa=True,
    bsnd=True,
    strided=True,
    numerics=Numerics(),
    empty_rows=EmptyRows(out="any"),
    refuses={
        **absent("executorch", "tabulate"),
        "more queries than keys": lambda problem: problem.query_length > problem.key_length,
    },
)
def attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float, causal: bool) -> Tensor:
    """`custom_sdpa` of all keys at once, from the position of the first query."""
    tokens_first = [tensor.transpose(1, 2).contiguous() for tensor in (query, key, value)]
    start = key.shape[2] - query.shape[2]
    return _operation()(*tokens_first, start, None, 0.0, causal, scale).transpose(1, 2)


def _operation() -> Any:
    from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401  (its import registers the operation)

    return torch.ops.llama.custom_sdpa
