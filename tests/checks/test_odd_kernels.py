"""Kernels that raise what ends a process, or return what no comparison can read: each is red, in a sentence."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

import pytest_attn
from pytest_attn.checks.buffers import GuardedInputs
from pytest_attn.checks.trial import Trial
from pytest_attn.devices.device import Device
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

CASE = "b1-h1-s16-d8-float32-out-exact"


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Lying(torch.Tensor):
    """A tensor that says of every comparison what a right result would."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.sub, Tensor.__sub__, Tensor.__rsub__):
            return torch.zeros(args[0].shape)
        return super().__torch_function__(func, types, args, kwargs or {})


def right(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    return torch.softmax(query @ key.mT * scale, dim=3) @ value


def raising(error: BaseException) -> Callable[..., Any]:
    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        raise error

    return kernel


def making(change: Callable[[Tensor], Any]) -> Callable[..., Any]:
    return lambda query, key, value, scale: change(right(query, key, value, scale))


def fake(out: Tensor) -> Tensor:
    with FakeTensorMode():
        return torch.empty(out.shape, dtype=out.dtype)


def reason_of(kernel: Any, case: str = CASE) -> str:
    """Why the cell of a kernel is red; empty where it is green."""
    (record,) = pytest_attn.check_kernel(kernel, case=case, cache=False)
    assert record.outcome in ("passed", "failed")
    return record.reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SystemExit(3), "SystemExit: 3 ("),
        (SystemExit(0), "SystemExit: 0 ("),
        (KeyboardInterrupt(), "KeyboardInterrupt ("),
        (GeneratorExit(), "GeneratorExit ("),
        (asyncio.CancelledError(), "CancelledError ("),
        (pytest.skip.Exception("no device"), "Skipped: no device ("),
        (UnspeakableError(), "UnspeakableError: (its message cannot be shown) ("),
    ],
)
def test_a_kernel_that_raises_what_ends_a_process_is_red(error: BaseException, words: str) -> None:
    reason = reason_of(raising(error))
    assert reason.startswith(f"the kernel raised {words}")
    assert "test_odd_kernels.py:" in reason


def test_a_kernel_that_exits_in_prepare_is_red() -> None:
    class Exiting:
        def prepare(self, problem: Problem, inputs: Inputs) -> Any:
            sys.exit(2)

    assert reason_of(Exiting).startswith("the kernel raised SystemExit: 2 (")


def test_a_kernel_that_prepares_nothing_is_red() -> None:
    class Idle:
        def prepare(self, problem: Problem, inputs: Inputs) -> Any:
            return None

    assert reason_of(Idle) == "the kernel raised TypeError: prepare returned NoneType; expected a function"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Tensor.to_sparse, "out: layout torch.sparse_coo, expected torch.strided"),
        (Tensor.to_mkldnn, "out: layout torch._mkldnn, expected torch.strided"),
        (lambda out: torch.nested.nested_tensor(list(out)), "out: layout nested, expected torch.strided"),
        (lambda out: torch.quantize_per_tensor(out, 0.1, 0, torch.qint8), "out: dtype torch.qint8, expected "),
        (fake, "out: a FakeTensor, expected a plain tensor"),
        (lambda out: out.to("meta"), "out: on meta, expected cpu"),
        (lambda out: None, "out: the kernel returned None, expected a tensor or (out, lse)"),
        (lambda out: (out,), "out: the kernel returned a tuple of 1, expected a tensor or (out, lse)"),
        (lambda out: out.numpy(), "out: the kernel returned a ndarray, expected a tensor or (out, lse)"),
        (lambda out: (0.5 * out).as_subclass(Lying), "out: "),
    ],
)
def test_a_result_of_another_form_is_red(change: Callable[[Tensor], Any], words: str) -> None:
    assert reason_of(making(change)).startswith(words)


@pytest.mark.parametrize("change", [torch.nn.Parameter, lambda out: torch._neg_view(-out), Tensor.requires_grad_])
def test_a_right_result_of_another_make_is_green(change: Callable[[Tensor], Any]) -> None:
    assert reason_of(making(change)) == ""


@pytest.mark.parametrize(
    ("grads", "words"),
    [
        ((1, 2), "grads: the kernel gave a tuple of 2, expected Gradients(dq, dk, dv)"),
        ((1, 2, 3), "dq: the kernel gave a int, expected a tensor"),
        (3, "grads: the kernel gave a int, expected Gradients(dq, dk, dv)"),
    ],
)
def test_gradients_of_another_form_are_a_finding(grads: Any, words: str) -> None:
    class Giving:
        def prepare(self, problem: Problem, inputs: Inputs) -> Any:
            return lambda: Output(inputs.query.clone(), None, grads)

    problem = Problem.of(Case(4, 4, head_dim=8, dtype="float32", ask="grad"))
    kernel = pytest_attn.kernel(backward=True)(Giving)
    found = Trial(kernel, problem, GuardedInputs.of(Inputs.draw(problem, seed=1)), Device("cpu"))()
    assert isinstance(found, Finding)
    assert found.phrase == words


def fails(problem: Problem) -> Any:
    sys.exit(5)


def test_numerics_that_do_not_come_are_red() -> None:
    reason = reason_of(pytest_attn.kernel(numerics=fails)(right))
    assert reason.endswith("numerics(problem) raised SystemExit: 5; allowed: a Numerics")


@pytest.mark.parametrize("length", [10**12, 10**20])
def test_a_case_whose_tensors_cannot_be_allocated_is_red(length: int) -> None:
    (record,) = pytest_attn.check_kernel(
        right, case=f"b1-h1-s{length}-d128-float32-out-exact", budget=None, cache=False
    )
    assert record.outcome == "failed"
    assert record.reason.startswith("tensors of the case cannot be allocated: ")
