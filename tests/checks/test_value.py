"""What is judged is an ordinary call; a second one in poisoned memory shows what is not written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from planted import cell_of
from torch import Tensor

import pytest_attn
from pytest_attn.checks import value as checked
from pytest_attn.checks.value import POISONED
from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

CASE = Case(5, 7, head_dim=8, query_heads=2, dtype="float32", ask="out", oracle="exact")
Function = Callable[..., Any]


def right(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    return (query @ key.mT * scale).softmax(dim=-1) @ value


def verdict_on(function: Function, **claims: Any) -> Verdict:
    """The verdict on a function of query, key, value and scale."""
    return Session(Options()).cell(pytest_attn.kernel(any_scale=True, **claims)(function), CASE).judge()


def test_a_right_kernel_is_right() -> None:
    assert verdict_on(right).passed


@pytest.mark.parametrize(
    "asked",
    [torch.are_deterministic_algorithms_enabled, lambda: not torch.is_grad_enabled(), torch.is_inference_mode_enabled],
    ids=["deterministic", "no grad", "inference"],
)
def test_a_kernel_that_is_right_only_in_a_state_that_users_are_not_in_is_red(asked: Callable[[], bool]) -> None:
    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        return right(query, key, value, scale) if asked() else query.clone()

    assert not verdict_on(kernel).passed


def state() -> tuple[object, ...]:
    """What a process may be set to that changes what torch computes."""
    return (
        torch.get_deterministic_debug_mode(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_autocast_enabled("cpu"),
        torch.get_float32_matmul_precision(),
    )


def test_the_call_that_is_judged_sees_the_state_of_the_process() -> None:
    seen: list[tuple[object, ...]] = []

    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        seen.append(state())
        return right(query, key, value, scale)

    assert verdict_on(kernel).passed
    assert seen[0] == state()


def test_no_call_of_a_sequence_is_in_another_state() -> None:
    seen = set()

    class Looking(TileLoop):
        def allocate(self, *args: Any) -> Any:
            seen.add(state())
            return super().allocate(*args)

    assert cell_of(Looking(), Case.parse("b1-h2-s5x7-d8-float32-out-sequence")).judge().passed
    assert seen == {state()}


def test_a_number_that_is_read_without_being_written_is_red() -> None:
    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        unwritten = torch.empty(1)
        return right(query, key, value, scale).where(~unwritten.isnan(), torch.nan)

    verdict = verdict_on(kernel)
    assert verdict.findings[0].what == "finite"
    assert verdict.findings[0].phrase.startswith(f"{POISONED}: out: not finite in 10 of 10 rows")


def test_rows_that_are_not_written_are_named_whatever_their_memory_held() -> None:
    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        out = torch.empty_like(query)
        out[:, :, :4] = right(query, key, value, scale)[:, :, :4]
        return out

    assert "not finite in 2 of 10 rows" in verdict_on(kernel).summary


def test_a_kernel_that_refuses_deterministic_mode_is_judged_by_its_ordinary_call() -> None:
    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        if torch.are_deterministic_algorithms_enabled():
            raise NotImplementedError("no deterministic path")
        return right(query, key, value, scale)

    assert verdict_on(kernel).passed


def test_a_kernel_with_parameters_that_are_trained_is_judged_as_any_other() -> None:
    one = torch.nn.Parameter(torch.ones(()))
    assert verdict_on(lambda query, key, value, scale: one * right(query, key, value, scale)).passed


def test_a_kernel_that_fills_its_output_from_parameters_is_judged_as_any_other() -> None:
    one = torch.nn.Parameter(torch.ones(()))

    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float, out: Tensor) -> None:
        out.copy_(one * right(query, key, value, scale))

    assert verdict_on(kernel, out_variant=True).passed


@pytest.mark.parametrize(("most", "calls"), [(0.0, 1), (1e9, 2)])
def test_a_large_problem_is_not_run_a_second_time(most: float, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checked.MOST_FLOPS, "cpu", most)
    called = []

    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        called.append(1)
        return right(query, key, value, scale)

    assert verdict_on(kernel).passed
    assert len(called) == calls
