"""Attention as frameworks write it without a kernel: every step a tensor of the input dtype, gradients by autograd."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import pytest_attn

CLAIMS: dict[str, Any] = {
    "dtypes": ("bfloat16", "float16", "float32"),
    "causal": True,
    "gqa": True,
    "value_dim": True,
    "backward": True,
    "empty_rows": pytest_attn.EmptyRows(out="any"),
}

PARTS = 4
"""Parts of the keys that `merged_parts` merges."""


def eager(numerics: pytest_attn.Numerics | None, step: Callable[..., Tensor], **others: Any) -> Any:
    """Eager attention whose logits `step` makes of query, key and scale, under these numerics; `others` are further
    steps of `attention`."""
    return pytest_attn.kernel(name="eager", numerics=numerics, **CLAIMS)(
        functools.partial(attention, step=step, **others)
    )


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    step: Callable[..., Tensor],
    weights: Callable[[Tensor], Tensor] = lambda logits: torch.softmax(logits, dim=3),
    average: Callable[[Tensor, Tensor], Tensor] = torch.matmul,
) -> Tensor:
    """The average of the values under weights of the logits, whole rows at a time; a row without keys averages all."""
    group = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(group, dim=1) for tensor in (key, value))
    logits = step(query, key, scale)
    if causal:
        queries, keys = logits.shape[2:]
        hidden = torch.ones(queries, keys).triu(keys - queries + 1).bool()
        logits = logits.masked_fill(hidden, torch.finfo(logits.dtype).min)
    return average(weights(logits), value)


def product_first(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """The product is stored, and its multiple."""
    return query @ key.mT * scale


def query_first(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """The multiple of the query is stored, and the product."""
    return (query * scale) @ key.mT


def scalar_scale(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """The scale is a scalar of the tensor's dtype, and logits stay in float32."""
    return query.float() @ key.float().mT * torch.tensor(scale, dtype=query.dtype).float()


def exact(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Logits in float32."""
    return query.float() @ key.float().mT * scale


def without_last_key(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A step that hides the last key from the first half of the rows."""

    def wrong(query: Tensor, key: Tensor, scale: float) -> Tensor:
        logits = step(query, key, scale)
        first = (torch.arange(logits.shape[2]) < logits.shape[2] // 2).unsqueeze(1)
        last = torch.arange(logits.shape[3]) == logits.shape[3] - 1
        return logits.masked_fill(first & last, torch.finfo(logits.dtype).min)

    return wrong


def another_scale(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A step whose scale is two percent too large."""
    return lambda query, key, scale: step(query, key, 1.02 * scale)


def wide_softmax(logits: Tensor) -> Tensor:
    """A softmax in float32 that is converted back."""
    return torch.softmax(logits, dim=3, dtype=torch.float32).to(logits.dtype)


def rounded_to(dtype: torch.dtype) -> Callable[[Tensor, Tensor], Tensor]:
    """An average in float32 whose values are rounded to a dtype, and its weights are not."""

    def average(weights: Tensor, value: Tensor) -> Tensor:
        return (weights.float() @ value.to(dtype).float()).to(value.dtype)

    return average


def merged_parts(weights: Tensor, value: Tensor) -> Tensor:
    """An average of the averages of parts of the keys, each stored in the dtype of the values."""
    parts = []
    for own, values in zip(weights.float().chunk(PARTS, dim=3), value.chunk(PARTS, dim=2), strict=True):
        total = own.sum(dim=3, keepdim=True).clamp_min(1e-30)
        parts.append(total * ((own / total) @ values.float()).to(value.dtype).float())
    return torch.stack(parts).sum(dim=0).to(value.dtype)
