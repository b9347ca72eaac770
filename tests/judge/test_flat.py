"""The flat tolerances of published suites, as those suites state them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pytest_attn.judge.verdict.flat import FlatLimits, flat, flat_limits
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.judge.verdict.tolerances import FLAT, SAME_DTYPE, judges_lse
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.same_dtype import same_dtype
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Ask

PLAIN = Kernel("plain", find_kernel("eager").implementation)


def posed(case: Case) -> tuple[Problem, Inputs, Reference, Tensor]:
    """A problem, its inputs, their reference, and its output."""
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=42)
    reference = stream(problem, inputs)
    assert reference.out is not None
    return problem, inputs, reference, reference.out


def limits_of(problem: Problem, inputs: Inputs, reference: Reference, name: str) -> FlatLimits:
    return flat_limits(problem, inputs, reference, [name])[name]


def off_by(amount: float, name: str, dtype: str = "bfloat16", *, what: str = "out", ask: Ask = "both") -> Verdict:
    """The verdict on a reference of which one element is off."""
    problem, inputs, reference, out = posed(Case(60, 70, head_dim=32, dtype=dtype, ask=ask))
    spoiled = {"out": out.clone(), "lse": reference.lse.clone()}
    spoiled[what].view(-1)[77 % spoiled[what].numel()] += amount
    return flat(spoiled["out"], spoiled["lse"], reference, limits_of(problem, inputs, reference, name))


def plain_error(dtype: str) -> float:
    problem, inputs, _, out = posed(Case(60, 70, head_dim=32, dtype=dtype))
    return float((same_dtype(problem, inputs) - out).abs().max())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_flash_attention_allows_twice_the_error_of_the_same_dtype(dtype: str) -> None:
    limit = 2 * plain_error(dtype)
    assert off_by(0.99 * limit, "flash-attention", dtype).passed
    assert not off_by(1.01 * limit, "flash-attention", dtype).passed


def test_pytorch_allows_three_times_the_error_of_the_same_dtype() -> None:
    limit = 3 * plain_error("bfloat16")
    assert off_by(0.99 * limit, "pytorch-fudge").passed
    assert not off_by(1.01 * limit, "pytorch-fudge").passed


def test_pytorch_allows_a_hundred_thousandth_where_the_same_dtype_is_closer() -> None:
    assert 3 * plain_error("float32") < 1e-5
    assert off_by(0.9e-5, "pytorch-fudge", "float32").passed
    assert not off_by(1.1e-5, "pytorch-fudge", "float32").passed


def test_allclose_allows_a_hundredth_and_a_hundredth_of_the_value() -> None:
    _, _, reference, out = posed(Case(60, 70, head_dim=32, dtype="bfloat16"))
    limits = {"out": 0.01 + 0.01 * abs(float(out.view(-1)[77])), "lse": 0.01 + 0.01 * float(reference.lse.view(-1)[17])}
    for what, limit in limits.items():
        assert off_by(0.99 * limit, "allclose-1e-2", what=what).passed
        assert {f.what for f in off_by(1.01 * limit, "allclose-1e-2", what=what).findings} == {what}


@pytest.mark.parametrize("name", FLAT)
def test_a_wrong_lse_is_seen_by_those_that_say_something_of_it(name: str) -> None:
    assert off_by(5.0, name, what="lse").passed is not judges_lse(name)


def test_a_finding_says_what_was_allowed_and_where() -> None:
    summary = off_by(0.5, "flash-attention").summary
    assert summary.startswith("out: error 0.5, ")
    assert " x the tolerance flash-attention (2 x the error of plain bfloat16 attention, " in summary
    assert summary.endswith("), head 0, rows 0-59 (1 of 60 rows over the limit)")


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("what", ["out", "lse"])
def test_what_is_not_finite_never_passes(name: str, value: float, what: str) -> None:
    problem, inputs, reference, out = posed(Case(60, 70, head_dim=32, dtype="bfloat16"))
    spoiled = {"out": out.bfloat16(), "lse": reference.lse.clone()}
    spoiled[what].view(-1)[7] = value
    assert not judge(problem, inputs, Output(spoiled["out"], spoiled["lse"]), reference, PLAIN, name).passed


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_reference_that_is_not_finite_passes_nothing(name: str, value: float) -> None:
    problem, inputs, reference, out = posed(Case(60, 70, head_dim=32, dtype="bfloat16", ask="out"))
    broken = Reference("broken", reference.lse, out * value)
    assert not judge(problem, inputs, Output(out.bfloat16()), broken, PLAIN, name).passed


@pytest.mark.parametrize("name", SAME_DTYPE)
def test_plain_attention_that_overflows_allows_no_error(name: str) -> None:
    """Scores beyond 65504 are infinite in float16, and their softmax is not a number."""
    problem, inputs, reference, out = posed(Case(60, 70, head_dim=32, dtype="float16", scale=20000.0))
    assert not bool(torch.isfinite(same_dtype(problem, inputs)).all())
    limits = limits_of(problem, inputs, reference, name)
    assert not flat(out + 1e-4, None, reference, limits).passed


def test_values_that_the_same_dtype_gets_right_must_be_right() -> None:
    """The rule of flash-attention allows nothing where plain attention has no error; being right still passes."""
    problem = Problem.of(Case(60, 70, head_dim=32, recipe="zeros"))
    inputs = Inputs.draw(problem, seed=42, recipe="zeros")
    reference = stream(problem, inputs)
    limits = limits_of(problem, inputs, reference, "flash-attention")
    assert reference.out is not None
    assert flat(reference.out, None, reference, limits).passed
    assert not flat(reference.out + 1e-9, None, reference, limits).passed


def test_rows_without_keys_are_not_compared() -> None:
    problem, inputs, reference, out = posed(Case(90, 40, head_dim=32, causal="bottom-right"))
    spoiled = torch.where(reference.empty_rows.unsqueeze(3), 9.0, out)
    for name in FLAT:
        assert flat(spoiled, reference.lse, reference, limits_of(problem, inputs, reference, name)).passed


def test_the_same_dtype_is_computed_only_for_the_tolerances_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> Tensor:
        raise AssertionError("not needed here")

    monkeypatch.setattr("pytest_attn.judge.verdict.flat.same_dtype", refuse)
    problem, inputs, reference, out = posed(Case(60, 70, head_dim=32))
    for name in ("derived", "bsa", "allclose-1e-2"):
        assert judge(problem, inputs, Output(out.bfloat16(), reference.lse.clone()), reference, PLAIN, name).passed
    lse_only = Problem.of(Case(60, 70, head_dim=32, ask="lse"))
    assert limits_of(lse_only, inputs, reference, "flash-attention").out is None


def test_the_same_dtype_is_computed_once_for_the_tolerances_that_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Problem] = []

    def counted(problem: Problem, inputs: Inputs) -> Tensor:
        runs.append(problem)
        return same_dtype(problem, inputs)

    monkeypatch.setattr("pytest_attn.judge.verdict.flat.same_dtype", counted)
    problem, inputs, reference, _ = posed(Case(60, 70, head_dim=32))
    assert set(flat_limits(problem, inputs, reference, FLAT)) == set(FLAT)
    assert len(runs) == 1
