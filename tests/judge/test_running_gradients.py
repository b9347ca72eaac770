"""Gradients of key and value to which all heads of a group add their tiles: the flash kernel of torch, on a CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

import pytest_attn
from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.numerics import Numerics
from tests.judge.test_declared_numerics import record, what

SHARED = "b2-h6-kv1-s300x100-d64-float16-scale0p3-grad-exact"
ONE_HEAD = "b2-h3-s300x100-d64-float16-scale0p3-grad-exact"
CASES = [SHARED, "b1-h6-kv1-s257x129-d64-bfloat16-grad-exact", "b1-h8-kv2-s513x65-d32-bfloat16-needle-grad-exact"]


def numerics(problem: Any, *, shared: bool = True) -> Numerics:
    """Those of the flash kernel, which takes 32, 64 or 256 queries at a time."""
    queries = problem.query_length
    found = Numerics.of_torch_flash(query_tile=256 if queries >= 768 else 64 if queries >= 192 else 32)
    return replace(found, backward=replace(found.backward, shared_gradients=shared))


def attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """SDPBackend.FLASH_ATTENTION."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale, enable_gqa=True)


def flash(declared: Any = numerics, factor: float = 1.0, lost: int = 0) -> Kernel:
    """The kernel, with dK and dV times `factor`, or without the last `lost` query heads of the last group."""

    def backward(
        grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Any, **given: Any
    ) -> Any:
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in (query, key, value)]
            found = attention(*leaves, **given)
            kept = grad_out.clone()
            kept[:, kept.shape[1] - lost :] = 0
            whole = torch.autograd.grad(found, leaves, grad_out, retain_graph=True)
            _, dk, dv = torch.autograd.grad(found, leaves, kept)
        return whole[0], dk * factor, dv * factor

    claims: dict[str, Any] = {"dtypes": ("bfloat16", "float16"), "gqa": True, "backward": backward}
    return pytest_attn.kernel(name="flash", numerics=declared, **claims)(attention)


@pytest.mark.parametrize("case", CASES)
def test_tiles_of_all_heads_are_green_where_they_are_declared(case: str) -> None:
    assert what(flash(), case) == set()


def test_their_budget_is_not_loose() -> None:
    figures = record(flash(), SHARED).figures
    assert min(figures["dk_rms"], figures["dv_rms"]) > 0.6


@pytest.mark.parametrize("case", CASES[:2])
def test_tiles_of_all_heads_are_red_where_each_head_has_its_own_sum(case: str) -> None:
    def alone(problem: Any) -> Numerics:
        return numerics(problem, shared=False)

    assert {"dk_rms", "dv_rms"} <= what(flash(alone), case)


@pytest.mark.parametrize("mistake", [{"factor": 1.02}, {"lost": 1}])
def test_wrong_gradients_are_red_though_their_tiles_are_declared(mistake: dict[str, Any]) -> None:
    assert {"dk_rms", "dv_rms"} <= what(flash(**mistake), SHARED)


def test_one_head_has_the_same_budget_either_way() -> None:
    def alone(problem: Any) -> Numerics:
        return numerics(problem, shared=False)

    assert record(flash(), ONE_HEAD).figures == record(flash(alone), ONE_HEAD).figures


def test_what_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^BackwardNumerics: shared_gradients is 'yes'; allowed: True, False$"):
        BackwardNumerics(shared_gradients="yes")  # type: ignore[arg-type]
