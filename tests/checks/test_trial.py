"""One run under guard: what is red before any value is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import pytest_attn
from pytest_attn.checks.buffers import GuardedInputs
from pytest_attn.checks.trial import Trial, poisoned_memory
from pytest_attn.devices.device import Device
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

PROBLEM = Problem.of(Case(5, 5, head_dim=8, query_heads=2, dtype="float32", ask="out"))
WITH_LSE = Problem.of(Case(5, 5, head_dim=8, query_heads=2, dtype="float32"))


def trial_of(kernel: Kernel, problem: Problem = PROBLEM, *, poisoned: bool = False) -> Trial:
    return Trial(kernel, problem, GuardedInputs.of(Inputs.draw(problem, seed=1)), Device("cpu"), poisoned=poisoned)


def finding_on(function: Callable[..., Any], problem: Problem = PROBLEM, **claims: Any) -> Finding:
    found = trial_of(pytest_attn.kernel(**claims)(function), problem)()
    assert isinstance(found, Finding)
    return found


def test_a_view_of_an_input_as_output_is_red() -> None:
    found = finding_on(lambda query, key, value, scale: value.view(value.shape))
    assert found == Finding(what="aliased", tensor="out", words="shares its memory with value")


def test_a_write_beside_an_input_is_red() -> None:
    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        key.as_strided((8,), (1,), key.storage_offset() + key.numel()).zero_()
        return query.clone()

    assert finding_on(kernel).phrase == "the kernel wrote into its inputs: key, or memory beside it, changed"


def test_a_kernel_that_raises_is_red_with_its_own_line() -> None:
    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        raise RuntimeError("no\nworkspace")

    found = finding_on(kernel)
    assert found.phrase.startswith("the kernel raised RuntimeError: no workspace (")
    assert "test_trial.py:" in found.phrase


@pytest.mark.parametrize("allocate", [torch.empty_like, lambda like: like.new_empty(like.shape)])
def test_memory_that_is_allocated_and_not_written_is_nan(allocate: Callable[[Tensor], Tensor]) -> None:
    kernel = pytest_attn.kernel()(lambda query, key, value, scale: allocate(query))
    returned = trial_of(kernel, poisoned=True)()
    assert isinstance(returned, Output)
    assert bool(returned.out.isnan().all())


def test_torch_is_as_it_was_after_poisoned_memory() -> None:
    before = torch.get_deterministic_debug_mode()
    with poisoned_memory():
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_deterministic_debug_mode() == before


def test_an_out_variant_is_given_buffers_of_nan_to_fill() -> None:
    seen = {}

    def kernel(
        query: Tensor, key: Tensor, value: Tensor, scale: float, return_lse: bool, out: Tensor, lse: Any
    ) -> None:
        seen.update(out=bool(out.isnan().all()), lse=bool(lse.isnan().all()))
        out.copy_(query)
        lse.zero_()

    returned = trial_of(pytest_attn.kernel(out_variant=True, lse=True)(kernel), WITH_LSE)()
    assert seen == {"out": True, "lse": True}
    assert isinstance(returned, Output)
    assert returned.lse is not None
    assert returned.lse.shape == WITH_LSE.lse_shape


def test_what_an_out_variant_does_not_write_stays_nan_in_every_call() -> None:
    calls = []

    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float, out: Tensor) -> None:
        calls.append(1)
        if len(calls) == 1:
            out.copy_(query)

    trial = trial_of(pytest_attn.kernel(out_variant=True)(kernel))
    first, second = (trial().out.isnan().any().item() for _ in range(2))  # type: ignore[union-attr]
    assert (first, second) == (False, True)


@pytest.mark.parametrize("place", [-1, 5 * 2 * 8])
def test_a_write_beside_an_out_buffer_is_red(place: int) -> None:
    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float, out: Tensor) -> None:
        out.copy_(query)
        out.as_strided((1,), (1,), out.storage_offset() + place).zero_()

    found = finding_on(kernel, out_variant=True)
    assert found == Finding(what="outside", tensor="out", words="the kernel wrote beyond the buffer that it was given")


def test_a_write_beside_an_lse_buffer_is_red() -> None:
    def kernel(
        query: Tensor, key: Tensor, value: Tensor, scale: float, return_lse: bool, out: Tensor, lse: Any
    ) -> None:
        out.copy_(query)
        lse.as_strided((lse.numel() + 1,), (1,), lse.storage_offset()).zero_()

    found = finding_on(kernel, WITH_LSE, out_variant=True, lse=True)
    assert found == Finding(what="outside", tensor="lse", words="the kernel wrote beyond the buffer that it was given")


def test_a_kernel_is_prepared_once_however_often_it_is_called() -> None:
    class Counting:
        prepared = 0

        def prepare(self, problem: Problem, inputs: Inputs) -> Any:
            self.prepared += 1
            return lambda: inputs.query.clone()

    counting = Counting()
    trial = trial_of(Kernel("counting", counting))
    trial()
    trial()
    assert counting.prepared == 1


def test_what_is_left_unwritten_is_no_right_result_of_an_earlier_call() -> None:
    def lazy(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        return torch.empty_like(query)

    problem = Problem.of(Case(128, 128, head_dim=64, query_heads=2, dtype="float32", ask="out"))
    trial = trial_of(pytest_attn.kernel()(lazy), problem)
    right = torch.ones(problem.out_shape)
    del right
    output = trial()
    assert isinstance(output, Output)
    assert not (output.out == 1).any()
