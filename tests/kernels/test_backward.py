"""How a kernel gives its gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_attn.execution.session import Session
from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.kernel import Kernel, Output, kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case

CASE = Case(9, 11, head_dim=8, query_heads=2, dtype="float32", ask="grad")
CAUSAL = Case(9, 11, head_dim=8, query_heads=2, dtype="float32", ask="grad", causal="bottom-right")


def attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    return (query @ key.mT * scale).softmax(dim=3) @ value


def backward(
    grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Any, *, scale: float
) -> Any:
    weights = (query @ key.mT * scale).softmax(dim=3)
    score_gradients = weights * (grad_out @ value.mT - (grad_out * out).sum(dim=3, keepdim=True))
    return score_gradients @ key * scale, score_gradients.mT @ query * scale, weights.mT @ grad_out


def reason(tested: Kernel, case: Case = CASE) -> str:
    """Why the kernel is not right on a case; empty where it is."""
    return Session(Options()).cell(tested, case).record().reason


def test_gradients_come_through_autograd() -> None:
    assert reason(kernel(backward=True)(attention)) == ""


def test_gradients_come_from_a_backward_function() -> None:
    assert reason(kernel(backward=backward)(attention)) == ""


def test_a_wrong_backward_function_is_seen() -> None:
    def swapped(*arguments: Any, **keywords: Any) -> Any:
        dq, dk, dv = backward(*arguments, **keywords)
        return dq, dv, dk

    assert reason(kernel(backward=swapped)(attention)).startswith("dk: ")


def test_a_backward_function_is_given_the_lse_and_the_keywords_of_the_kernel() -> None:
    given: list[dict[str, Any]] = []

    def noting(
        grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, **keywords: Any
    ) -> Any:
        given.append({**keywords, "lse": tuple(lse.shape), "grad_out": tuple(grad_out.shape), "out": tuple(out.shape)})
        return torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)

    @kernel(backward=noting, lse=True, causal=True)
    def forward(query: Tensor, key: Tensor, value: Tensor, *, scale: float, causal: bool, return_lse: bool) -> Any:
        assert return_lse
        return attention(query, key, value, scale=scale), torch.zeros(query.shape[:3])

    reason(forward, CAUSAL)
    shape, scale = (1, 2, 9, 8), CAUSAL.softmax_scale
    # The gradients are wrong, so that the diagnosis calls it again.
    assert given[0] == {"scale": scale, "causal": True, "lse": (1, 2, 9), "grad_out": shape, "out": shape}


def test_a_class_returns_an_output_with_gradients() -> None:
    class Prepared:
        def prepare(self, problem: Any, inputs: Any) -> Any:
            through = kernel(backward=True)(attention).prepare(problem, inputs)
            return lambda: Output(torch.empty(0), grads=through().grads)

    assert reason(kernel(backward=True)(Prepared)) == ""


def test_a_kernel_that_does_not_claim_gradients_is_not_asked() -> None:
    assert reason(kernel()(attention)) == "not claimed: backward"


def test_a_kernel_that_autograd_cannot_follow_raises() -> None:
    @kernel(backward=True)
    def detached(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
        return attention(query, key, value, scale=scale).detach()

    assert reason(detached).startswith("the kernel raised RuntimeError: element 0 of tensors does not require grad")


def test_a_backward_function_that_returns_something_else_is_named() -> None:
    tested = kernel(backward=lambda *arguments, **keywords: arguments[0])(attention)
    assert "backward returned Tensor; expected (dq, dk, dv)" in reason(tested)


def test_a_kernel_without_gradients_in_its_output_is_a_finding() -> None:
    class Prepared:
        def prepare(self, problem: Any, inputs: Any) -> Any:
            return lambda: inputs.query

    assert "expected an Output with grads" in reason(kernel(backward=True)(Prepared))


def test_writing_into_the_gradient_of_the_output_is_seen() -> None:
    def spoiling(grad_out: Tensor, *arguments: Any, **keywords: Any) -> Any:
        found = backward(grad_out, *arguments, **keywords)
        grad_out.zero_()
        return found

    assert "grad_out" in reason(kernel(backward=spoiling)(attention))


def test_a_gradient_in_the_memory_of_an_input_is_seen() -> None:
    def aliasing(grad_out: Tensor, *arguments: Any, **keywords: Any) -> Any:
        dq, dk, _ = backward(grad_out, *arguments, **keywords)
        return dq, dk, arguments[2]

    assert reason(kernel(backward=aliasing)(attention)) == "dv: shares its memory with value"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"backward": "yes"}, "backward is 'yes'; allowed: True, False or a function"),
        ({"backward": True, "out_variant": True}, "backward is claimed beside out_variant"),
    ],
)
def test_claims_that_make_no_sense_are_refused(claims: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kernel(**claims)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"score_gradients": "half"}, "score_gradients is 'half'; allowed: input, float64, float32, bfloat16, float16"),
        ({"delta_of": "lse"}, "delta_of is 'lse'; allowed: out, probabilities"),
        ({"weights_of": "out"}, "weights_of is 'out'; allowed: lse, softmax"),
        ({"query_tile": 0}, "query_tile is 0; allowed: a whole number, 1 or more"),
    ],
)
def test_backward_numerics_that_make_no_sense_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BackwardNumerics(**fields)


def test_numerics_take_backward_numerics_alone() -> None:
    with pytest.raises(ValueError, match="backward is 'input'; allowed: a BackwardNumerics"):
        Numerics(backward="input")  # type: ignore[arg-type]
