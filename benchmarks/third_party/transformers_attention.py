"""The eager attention of transformers: Llama's, Gemma 2's with its cap of logits, and gpt-oss's with sinks.

Every step is stored in the dtype of the inputs, so all of them are `Numerics.of_torch_eager()`.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from refusals import absent
from torch import Tensor

import pytest_attn
from pytest_attn import EmptyRows, Numerics

CLAIMS: dict[str, Any] = {
    "causal": True,
    "gqa": True,
    "value_dim": True,
    "strided": True,
    "backward": True,
    "empty_rows": EmptyRows(out="any"),
}


def hidden(query: Tensor, key: Tensor) -> Tensor:
    """The causal mask of a model, which is added: the least number of the dtype where a key is not seen."""
    queries, keys = query.shape[2], key.shape[2]
    unseen = torch.ones(queries, keys, dtype=torch.bool).triu(keys - queries + 1)
    return torch.zeros(queries, keys, dtype=query.dtype).masked_fill(unseen, torch.finfo(query.dtype).min)


def attend(
    model: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    causal: bool,
    sinks: Tensor | None = None,
    **more: Any,
) -> Tensor:
    """`eager_attention_forward` of a model, with the mask that the model hands it."""
    module = import_module(f"transformers.models.{model}.modeling_{model}")
    layer = SimpleNamespace(num_key_value_groups=query.shape[1] // key.shape[1], training=False, sinks=sinks)
    mask = hidden(query, key) if causal else None
    out, _ = module.eager_attention_forward(layer, query, key, value, mask, scaling=scale, **more)
    return out.transpose(1, 2)


@pytest_attn.kernel(name="llama", numerics=Numerics.of_torch_eager(), refuses=absent("transformers"), **CLAIMS)
def llama(query: Tensor, key: Tensor, value: Tensor, *, scale: float, causal: bool) -> Tensor:
    """Llama."""
    return attend("llama", query, key, value, scale, causal)


@pytest_attn.kernel(
    name="gemma2", softcap=True, numerics=Numerics.of_torch_eager(), refuses=absent("transformers"), **CLAIMS
)
def gemma2(query: Tensor, key: Tensor, value: Tensor, *, scale: float, causal: bool, softcap: float) -> Tensor:
    """Gemma 2."""
    return attend("gemma2", query, key, value, scale, causal, softcap=softcap or None)


@pytest_attn.kernel(
    name="gpt-oss",
    sinks=True,
    numerics=replace(Numerics.of_torch_eager(), sinks="input", shifted_logits="input"),
    refuses={
        **absent("transformers"),
        "no sinks": lambda problem: problem.variant("sinks") is None,
    },
    **CLAIMS,
)
def gpt_oss(query: Tensor, key: Tensor, value: Tensor, *, scale: float, causal: bool, sinks: Tensor) -> Tensor:
    """gpt-oss."""
    return attend("gpt_oss", query, key, value, scale, causal, sinks=sinks.to(query.dtype))
