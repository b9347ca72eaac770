"""What kernels round on their way: declared it is green, undeclared red, and no declaration excuses a wrong kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

import pytest_attn
from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.numerics import EmptyRows, Numerics
from tests.judge.torch_eager import (
    CLAIMS,
    another_scale,
    eager,
    exact,
    merged_parts,
    product_first,
    query_first,
    rounded_to,
    scalar_scale,
    wide_softmax,
    without_last_key,
)

EAGER = Numerics.of_torch_eager()
WIDE = Numerics(probabilities="float32", normalized=True)
BACKWARD = EAGER.backward

LONG = "b1-h1-s509-d128-bfloat16-out-exact"
NARROW = "b1-h3-s128x127-d96-float16-negative-out-exact"
ODD = "b1-h1-s130x259-d192x128-float16-out-exact"
SMALL = "b2-h4-kv2-s129x257-d40-bfloat16-scale0p05-grad-exact"
"""Logits so small that their errors are nothing."""

SINGLE = "b1-h2-s300x257-d64-float32-out-exact"
GRAD = "b2-h4-kv2-s129x257-d40-bfloat16-grad-exact"
ONEHOT = "b2-h4-kv2-s129x257-d128-bfloat16-scale0p3-onehotgrad-grad-exact"
EMPTY = "b2-h4-kv2-s300x100-d16-float32-scale0p3-causal-onehotgrad-grad-exact"

PARTED = Numerics(probabilities="float32", normalized=True, split=True, split_parts="input")
"""Weights in float32, so that storing the parts is most of the error."""

FORWARD: list[tuple[str, Callable[..., Tensor], dict[str, Any], Numerics, Numerics, str]] = [
    ("product", product_first, {}, EAGER, replace(EAGER, unscaled_logits=None), LONG),
    ("product of negative logits", product_first, {}, EAGER, replace(EAGER, unscaled_logits=None), NARROW),
    ("query", query_first, {}, Numerics.of_scaled_query(), replace(EAGER, unscaled_logits=None), LONG),
    ("scale", scalar_scale, {"average": rounded_to(torch.float16)}, replace(WIDE, scale="input"), WIDE, ODD),
    ("values", exact, {"average": rounded_to(torch.bfloat16)}, replace(WIDE, values="bfloat16"), WIDE, SINGLE),
    ("parts", exact, {"average": merged_parts}, PARTED, replace(PARTED, split_parts=None), LONG),
]

IDS = [each[0] for each in FORWARD]


def record(kernel: Any, case: str) -> Any:
    """The record of one case."""
    return pytest_attn.check_kernel(kernel, case=case)[0]


def what(kernel: Any, case: str) -> set[str]:
    """What the findings of one case are of; empty where the kernel is green."""
    found = record(kernel, case)
    assert found.outcome in ("passed", "failed"), found.why
    kinds = {finding.what for finding in found.findings}
    assert "raised" not in kinds, found.findings
    return kinds


@pytest.mark.parametrize(("name", "step", "others", "declared", "bare", "case"), FORWARD, ids=IDS)
class TestForward:
    """A kernel that rounds one step more than flash kernels do."""

    def test_declared_it_is_green(self, name: str, step: Any, others: Any, declared: Any, bare: Any, case: str) -> None:
        assert what(eager(declared, step, **others), case) == set()

    def test_undeclared_it_is_red(self, name: str, step: Any, others: Any, declared: Any, bare: Any, case: str) -> None:
        assert what(eager(bare, step, **others), case) <= {"out_rms", "out_row_rms", "out_bias", "out_largest"} != set()

    @pytest.mark.parametrize("mistake", [without_last_key, another_scale])
    def test_a_wrong_kernel_is_red_under_it(
        self, name: str, step: Any, others: Any, declared: Any, bare: Any, case: str, mistake: Any
    ) -> None:
        assert what(eager(declared, mistake(step), **others), case)

    def test_the_budget_is_not_loose(
        self, name: str, step: Any, others: Any, declared: Any, bare: Any, case: str
    ) -> None:
        assert record(eager(declared, step, **others), case).figures["out_rms"] > 0.5


@pytest.mark.parametrize("case", [GRAD, ONEHOT])
@pytest.mark.parametrize("weights", [{}, {"weights": wide_softmax}], ids=["softmax", "wide softmax"])
def test_gradients_of_eager_attention_are_green_under_the_named_set(case: str, weights: Any) -> None:
    assert what(eager(EAGER, product_first, **weights), case) == set()


def test_gradients_of_eager_attention_are_red_where_only_its_forward_pass_is_declared() -> None:
    flash = BackwardNumerics(delta_of="probabilities", weights_of="softmax")
    assert what(eager(replace(EAGER, backward=flash), product_first), SMALL)


STEPS = {
    "dp": {"probability_gradients": "input"},
    "scaled": {"scaled_score_gradients": "input"},
    "p": {"weights_of": "stored"},
}
"""Steps of a backward pass by the declaration that each is stored."""


def backward_storing(step: str, factor: float = 1.0) -> Any:
    """A backward pass in float32 that stores one step in the input dtype; dS is `factor` times what it should be."""

    def stored(name: str, tensor: Tensor, query: Tensor) -> Tensor:
        return tensor.to(query.dtype).float() if name == step else tensor

    def backward(
        grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Any, *, scale: float, **none: Any
    ) -> Any:
        group = query.shape[1] // key.shape[1]
        keys, values = (tensor.float().repeat_interleave(group, dim=1) for tensor in (key, value))
        p = stored("p", torch.softmax(query.float() @ keys.mT * scale, dim=3), query)
        dp = stored("dp", grad_out.float() @ values.mT, query)
        ds = stored("scaled", factor * p * (dp - (p * dp).sum(dim=3, keepdim=True)) * scale, query)
        dk, dv = (
            tensor.view(*key.shape[:2], group, key.shape[2], -1).sum(dim=2)
            for tensor in (ds.mT @ query.float(), p.mT @ grad_out.float())
        )
        return (ds @ keys).to(query.dtype), dk.to(key.dtype), dv.to(value.dtype)

    return backward


def storing(step: str, declared: dict[str, Any], factor: float = 1.0) -> Any:
    """A kernel with that backward pass, and what it declares of it."""
    wide = {"score_gradients": "float32", "grouped_gradients": "float32", "delta_of": "probabilities"}
    backward = BackwardNumerics(**{**wide, "weights_of": "softmax", **declared})
    weights = "input" if step == "p" else "float32"
    numerics = Numerics(probabilities=weights, normalized=True, backward=backward)
    claims = {**CLAIMS, "causal": False, "backward": backward_storing(step, factor)}
    forward = eager(EAGER, exact, average=rounded_to(torch.bfloat16))
    return pytest_attn.kernel(name="eager", numerics=numerics, **claims)(forward.__call__)


@pytest.mark.parametrize("step", STEPS)
class TestStepOfGradients:
    """A backward pass that stores one step more than flash kernels do."""

    def test_declared_it_is_green(self, step: str) -> None:
        assert what(storing(step, STEPS[step]), GRAD) == set()

    def test_undeclared_it_is_red(self, step: str) -> None:
        assert {"dq_rms", "dk_rms"} <= what(storing(step, {}), GRAD)

    def test_a_wrong_one_is_red_under_it(self, step: str) -> None:
        assert what(storing(step, STEPS[step], factor=1.02), GRAD)


@pytest.mark.parametrize("mistake", [without_last_key, another_scale])
def test_wrong_gradients_are_red_under_the_named_set(mistake: Any) -> None:
    assert what(eager(EAGER, mistake(product_first)), GRAD)


def test_gradients_of_a_scaled_query_are_green_under_their_set() -> None:
    assert what(eager(Numerics.of_scaled_query(), query_first), GRAD) == set()


def test_a_scale_that_is_a_power_of_two_rounds_nothing() -> None:
    once = replace(EAGER, unscaled_logits=None, backward=BackwardNumerics())
    case = "b1-h1-s509-d64-bfloat16-out-exact"
    assert record(eager(EAGER, product_first), case).figures == record(eager(once, product_first), case).figures


def test_gradients_of_rows_without_keys_are_not_judged_where_their_output_is_any() -> None:
    assert what(eager(EAGER, product_first), EMPTY) == set()


def test_an_average_of_all_keys_in_rows_without_keys_is_red_where_their_output_is_declared_zero() -> None:
    claims = {**CLAIMS, "empty_rows": EmptyRows()}
    kernel = pytest_attn.kernel(name="eager", numerics=EAGER, **claims)(eager(EAGER, product_first).__call__)
    assert {finding.tensor for finding in record(kernel, EMPTY).findings} == {"dv"}


def spoilt(gradient: int, rows: slice) -> Any:
    """Eager attention one of whose gradients, of query, key and value, is off in some rows."""

    def backward(grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **keywords: Any) -> Any:
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in (query, key, value)]
            out = eager(EAGER, product_first)(*leaves, **keywords)
            gradients = [tensor.clone() for tensor in torch.autograd.grad(out, leaves, grad_out)]
        gradients[gradient][:, :, rows] += 0.01
        return tuple(gradients)

    kernel = pytest_attn.kernel(name="eager", numerics=EAGER, **CLAIMS | {"backward": backward})
    return kernel(eager(EAGER, product_first).__call__)


def test_a_query_without_keys_has_any_gradient_where_its_output_is_any() -> None:
    assert what(spoilt(0, slice(0, 200)), EMPTY) == set()


@pytest.mark.parametrize("gradient", range(3))
def test_every_other_gradient_is_judged_where_the_output_of_rows_without_keys_is_any(gradient: int) -> None:
    assert what(spoilt(gradient, slice(-1, None)), EMPTY)


def test_parts_that_are_stored_without_a_split_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^Numerics: split_parts is 'input' without split; allowed: None, or split=True"
    ):
        Numerics(split_parts="input")


def torch_flash(numerics: Numerics) -> Any:
    """PyTorch's flash kernel for the CPU under these numerics."""

    def attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)

    return pytest_attn.kernel(dtypes=("bfloat16", "float16"), numerics=numerics)(attention)


LARGE = "b1-h3-s300x100-d80-float16-large-out-exact"


def test_the_flash_kernel_of_torch_is_green_under_its_set() -> None:
    assert what(torch_flash(Numerics.of_torch_flash()), LARGE) == set()


def test_the_flash_kernel_of_torch_has_another_exponential_than_tensor_cores() -> None:
    assert what(torch_flash(Numerics.of_flash()), LARGE) == {"out_bias"}
