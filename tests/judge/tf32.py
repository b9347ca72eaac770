"""Attention whose products have the operands of TF32, emulated on a CPU, for `calibration.py --kernel`.

    python benchmarks/calibration.py --dtype float32 --kernel tests/judge/tf32.py:rounded

`rounded` rounds operands to nearest, as cuBLAS does; `truncated` cuts them off, as tensor cores do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import pytest_attn

DROPPED = 13
"""Bits of the mantissa of float32 that TF32 has not."""


def cut(tensor: Tensor) -> Tensor:
    """float32, to TF32 toward zero."""
    return (tensor.contiguous().view(torch.int32) >> DROPPED << DROPPED).view(torch.float32)


def to_nearest(tensor: Tensor) -> Tensor:
    """float32, to TF32, to nearest."""
    return cut((tensor.contiguous().view(torch.int32) + (1 << DROPPED - 1)).view(torch.float32))


def declared(products: Any) -> pytest_attn.Numerics:
    """Everything but the products is float32."""
    return pytest_attn.Numerics(
        probabilities="float32",
        exp_error=2.0**-23,
        products=products,
        backward=pytest_attn.BackwardNumerics(score_gradients="float32", grouped_gradients="float32"),
    )


def emulated(operand: Callable[[Tensor], Tensor], numerics: pytest_attn.Numerics, gradients: bool = True) -> Any:
    """A kernel of the whole score matrix; `operand` is what a product makes of either side."""

    def backward(
        grad_out: Any, query: Any, key: Any, value: Any, out: Any, lse: Any, *, scale: float, **mask: Any
    ) -> Any:
        p = (hidden(operand(query) @ operand(key).mT * scale, **mask) - lse.unsqueeze(3)).exp()
        ds = p * (operand(grad_out) @ operand(value).mT - (grad_out * out).sum(dim=3, keepdim=True)) * scale
        dq, dk = operand(ds) @ operand(key), operand(ds).mT @ operand(query)
        return dq, dk, operand(p).mT @ operand(grad_out)

    def attention(query: Any, key: Any, value: Any, *, scale: float, return_lse: bool = False, **mask: Any) -> Any:
        scores = hidden(operand(query) @ operand(key).mT * scale, **mask)
        p = (scores - scores.amax(dim=3, keepdim=True)).exp()
        out = operand(p) @ operand(value) / p.sum(dim=3, keepdim=True)
        return (out, scores.logsumexp(dim=3)) if return_lse else out

    return pytest_attn.kernel(
        dtypes=("float32",),
        lse=True,
        causal=True,
        value_dim=True,
        backward=backward if gradients else False,
        numerics=numerics,
    )(attention)


def hidden(scores: Tensor, causal: bool = False) -> Tensor:
    """Scores with what may not be attended to hidden."""
    if not causal:
        return scores
    queries, keys = scores.shape[2:]
    return scores.masked_fill(torch.ones(queries, keys).triu(keys - queries + 1).bool(), -torch.inf)


rounded = emulated(to_nearest, declared("tf32"))
truncated = emulated(cut, declared("tf32-truncated"), gradients=False)
