"""Products of TF32: declared they are within the budget, and not declared beyond it."""

from __future__ import annotations

from typing import Any

import pytest
from tf32 import cut, declared, emulated, to_nearest
from torch import Tensor

from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.records.record import Record


def judged(operand: Any, numerics: Numerics, case: Case) -> Record:
    return Session(Options()).cell(emulated(operand, numerics), case).record()


def case(**fields: Any) -> Case:
    return Case(129, 515, head_dim=64, query_heads=2, dtype="float32", **fields)


CASES = [
    *(
        case(recipe=recipe)
        for recipe in ("normal", "large", "needle", "negative", "growing", "ones", "zeros", "columncoded")
    ),
    case(scale=0.3),
    Case(1, 2000, head_dim=128, dtype="float32"),
    Case(64, 4096, head_dim=32, value_dim=16, dtype="float32"),
]


@pytest.mark.parametrize("each", CASES, ids=lambda each: each.id)
@pytest.mark.parametrize(("operand", "products"), [(to_nearest, "tf32"), (cut, "tf32-truncated")])
def test_declared_tf32_is_green(operand: Any, products: str, each: Case) -> None:
    record = judged(operand, declared(products), each)
    assert record.outcome == "passed", record.reason


@pytest.mark.parametrize("recipe", ["normal", "onehotgrad", "constantcolumn"])
def test_declared_tf32_gradients_are_green(recipe: Any) -> None:
    record = judged(to_nearest, declared("tf32"), case(recipe=recipe, ask="grad"))
    assert record.outcome == "passed", record.reason


@pytest.mark.parametrize("ask", ["out", "lse", "grad"])
@pytest.mark.parametrize("operand", [to_nearest, cut])
def test_tf32_that_is_not_declared_is_red(operand: Any, ask: Any) -> None:
    assert judged(operand, declared("input"), case(ask=ask)).outcome == "failed"


def test_truncation_that_is_declared_as_rounding_is_red() -> None:
    assert judged(cut, declared("tf32"), case()).outcome == "failed"


def test_the_budget_of_tf32_is_not_loose() -> None:
    found = judged(to_nearest, declared("tf32"), case()).figures["out_rms"]
    assert 0.7 < found < 1.1


def test_half_types_lose_nothing_to_tf32() -> None:
    plain, tf32 = (
        Session(Options()).cell(kernel(lse=True, numerics=numerics)(_half), Case(65, 65, dtype="bfloat16")).record()
        for numerics in (Numerics(probabilities="input"), Numerics(probabilities="input", products="tf32"))
    )
    assert plain.figures == tf32.figures


def _half(query: Tensor, key: Tensor, value: Tensor, *, scale: float, return_lse: bool = False) -> Any:
    scores = query.float() @ key.float().mT * scale
    out = (scores.softmax(dim=3) @ value.float()).to(query.dtype)
    return (out, scores.logsumexp(dim=3)) if return_lse else out


def test_gradients_of_truncated_products_are_refused_in_one_sentence() -> None:
    record = judged(cut, declared("tf32-truncated"), case(ask="grad"))
    assert record.outcome == "failed"
    assert record.why.startswith("kernel 'attention': products is 'tf32-truncated', for which gradients have no budget")


def test_products_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^Numerics: products is 'tf19'; allowed: input, tf32, tf32-truncated$"):
        declared("tf19")
