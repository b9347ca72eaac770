"""`jax.nn.dot_product_attention` on a CPU: `--attn-kernel=benchmarks/third_party/jax_attention.py:attention`.

Logits and their softmax are float32; weights are divided, then rounded. The LSE comes back in the dtype of the inputs.
"""

from __future__ import annotations

from typing import Any

import torch
from refusals import TOP_LEFT_CAUSAL, TOP_LEFT_WINDOWS, absent
from torch import Tensor

import pytest_attn
from pytest_attn import EmptyRows, Numerics

NUMERICS = Numerics(normalized=True, stored_lse="input")


def _call(query: Any, key: Any, value: Any, **keywords: Any) -> Any:
    import jax

    query, key, value = (tensor.swapaxes(1, 2) for tensor in (query, key, value))
    found = jax.nn.dot_product_attention(query, key, value, implementation="xla", **keywords)
    return (found[0].swapaxes(1, 2), found[1].swapaxes(1, 2)) if isinstance(found, tuple) else found.swapaxes(1, 2)


def _given(tensor: Tensor) -> Any:
    import jax

    return jax.dlpack.from_dlpack(tensor.detach().contiguous())


def _keywords(scale: float, causal: bool, causal_top_left: bool, **variants: Any) -> dict[str, Any]:
    window, lengths, bias = (variants.get(name) for name in ("window_size", "seqused_k", "attn_bias"))
    limited = window is not None and window != (-1, -1)
    return {
        "scale": scale,
        "is_causal": causal or causal_top_left,
        "local_window_size": tuple(10**6 if side < 0 else side for side in window) if limited else None,
        "key_value_seq_lengths": None if lengths is None else _given(lengths),
        "bias": None if bias is None else _given(bias),
    }


def _backward(grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Any, **given: Any) -> Any:
    import jax

    keywords = _keywords(**given)
    _, pull = jax.vjp(lambda *tensors: _call(*tensors, **keywords), *map(_given, (query, key, value)))
    return tuple(torch.from_dlpack(tensor) for tensor in pull(_given(grad_out)))


@pytest_attn.kernel(
    name="jax",
    devices=("cpu",),
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    window_size=True,
    seqused_k=True,
    attn_bias=True,
    backward=_backward,
    numerics=NUMERICS,
    empty_rows=EmptyRows(out="any", lse=None),
    refuses={**absent("jax"), **TOP_LEFT_CAUSAL, **TOP_LEFT_WINDOWS},
)
def attention(
    query: Tensor, key: Tensor, value: Tensor, *, return_lse: bool = False, **given: Any
) -> Tensor | tuple[Tensor, ...]:
    """`jax.nn.dot_product_attention`, operation by operation."""
    found = _call(*map(_given, (query, key, value)), return_residual=return_lse, **_keywords(**given))
    if not return_lse:
        return torch.from_dlpack(found)
    out, lse = map(torch.from_dlpack, found)
    return out, lse.float()
