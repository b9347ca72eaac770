"""The gradients of query, key and value that a function gives: through autograd, or by a backward function of its own.

A backward function is called `backward(grad_out, query, key, value, out, lse, **keywords)` and returns (dq, dk, dv) of
the shapes and dtypes of query, key and value. `grad_out` `[B, Hq, Sq, Dv]` is the gradient of the output; `out` and
`lse` are what the function itself returned, `lse` None where the kernel does not claim it; the keywords are those of
the function but for `return_lse`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs


class Gradients(NamedTuple):
    """The gradients of query, key and value, each of the shape and dtype of what it is the gradient of."""

    dq: Tensor
    dk: Tensor
    dv: Tensor


Backward = Callable[..., Any]
"""A backward function: of the forward pass's tensors and grad_out it makes dQ, dK and dV."""


def through_autograd(
    function: Callable[..., Any], inputs: Inputs, keywords: Mapping[str, Any]
) -> tuple[Tensor, None, Gradients]:
    """(out, None, gradients) of a function of query, key and value that autograd can follow."""
    assert inputs.grad_out is not None
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in (inputs.query, inputs.key, inputs.value)]
        returned = function(*leaves, **keywords)
        out = returned[0] if isinstance(returned, tuple | list) else returned
        if not isinstance(out, Tensor):
            raise ValueError(f"returned {type(out).__name__}; expected a tensor, or (out, lse)")
        if not out.requires_grad and not bool(out.any()):
            # Of an output that is 0 since no query sees any key, nothing depends on the inputs.
            return out, None, Gradients(*map(torch.zeros_like, leaves))
        gradients = torch.autograd.grad(out, leaves, inputs.grad_out)
    return out.detach(), None, Gradients(*gradients)


def declared_backward(
    backward: Backward, inputs: Inputs, out: Tensor, lse: Tensor | None, keywords: Mapping[str, Any]
) -> Gradients:
    """The gradients that a backward function returns. Raises ValueError where they are not three."""
    returned = backward(inputs.grad_out, inputs.query, inputs.key, inputs.value, out, lse, **keywords)
    if not isinstance(returned, tuple | list) or len(returned) != 3:
        raise ValueError(f"backward returned {type(returned).__name__}; expected (dq, dk, dv)")
    return Gradients(*returned)
