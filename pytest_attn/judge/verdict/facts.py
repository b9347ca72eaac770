"""What is judged without a budget: type, shape, dtype, device, finite numbers, and rows without keys as declared."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.worst import first_place
from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Output
from pytest_attn.kernels.numerics import EmptyRows
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def read_output(returned: Any, problem: Problem, inputs: Inputs) -> Output | Finding:
    """What a kernel returned, as an `Output` in the form of the problem's storage; a finding where it is not what was
    asked for."""
    if problem.wants_grad:
        return _read_gradients(returned, problem, inputs)
    out_shape, lse_shape = problem.stored_shapes
    out, lse = map(_plain, _parts(returned))
    if not isinstance(out, Tensor):
        words = f"the kernel returned {_what(returned)}, expected a tensor or (out, lse)"
        return Finding(what="type", tensor="out", words=words)
    found = [_form("out", out, out_shape, problem.out_dtype, inputs)] if problem.wants_out else []
    if problem.wants_lse:
        if not isinstance(lse, Tensor):
            words = f"the kernel returned {_what(returned)}, expected (out, lse)"
            return Finding(what="type", tensor="lse", words=words)
        found.append(_form("lse", lse, lse_shape, problem.sum_dtype, inputs))
    elif isinstance(lse, Tensor) and lse.numel():
        words = f"not asked for, but the kernel returned {_what(lse)}, expected None or an empty tensor"
        return Finding(what="lse", tensor="lse", words=words)
    elif lse is not None and not isinstance(lse, Tensor):
        return Finding(what="lse", tensor="lse", words=f"not asked for, but the kernel returned {_what(lse)}")
    wrong = next((finding for finding in found if finding), None)
    return wrong or Output(out, lse if problem.wants_lse else None)


def _read_gradients(returned: Any, problem: Problem, inputs: Inputs) -> Output | Finding:
    if not isinstance(returned, Output) or returned.grads is None:
        words = f"the kernel returned {_what(returned)}, expected an Output with grads"
        return Finding(what="type", tensor="grads", words=words)
    if not isinstance(returned.grads, tuple | list) or len(returned.grads) != 3:
        words = f"the kernel gave {_what(returned.grads)}, expected Gradients(dq, dk, dv)"
        return Finding(what="type", tensor="grads", words=words)
    grads = Gradients(*map(_plain, returned.grads))
    shapes = {"dq": inputs.query.shape, "dk": inputs.key.shape, "dv": inputs.value.shape}
    for name, gradient in grads._asdict().items():
        if not isinstance(gradient, Tensor):
            return Finding(what="type", tensor=name, words=f"the kernel gave {_what(gradient)}, expected a tensor")
        wrong = _form(name, gradient, tuple(shapes[name]), problem.dtype, inputs)
        if wrong:
            return wrong
    return replace(returned, grads=grads)


def _parts(returned: Any) -> tuple[Any, Any]:
    if isinstance(returned, Output):
        return returned.out, returned.lse
    if isinstance(returned, tuple | list) and len(returned) == 2:
        return returned[0], returned[1]
    return returned, None


def _plain(value: Any) -> Any:
    """A tensor as torch's own class: what a subclass makes of operations is not to decide what is compared."""
    if not isinstance(value, Tensor) or type(value) is Tensor or _foreign(value):
        return value
    with torch._C.DisableTorchFunctionSubclass():
        return value.as_subclass(Tensor)


def _foreign(tensor: Tensor) -> bool:
    """Whether a tensor has no elements in memory of its own, as sparse and nested ones and those of other dispatch."""
    dispatched = type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__
    return dispatched or tensor.layout != torch.strided or tensor.is_nested


def _what(value: Any) -> str:
    if isinstance(value, Tensor) and value.is_nested:
        return "a nested tensor"
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor {list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _form(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype, inputs: Inputs) -> Finding | None:
    if type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return Finding(what="type", tensor=name, words=f"a {type(tensor).__name__}, expected a plain tensor")
    if _foreign(tensor):
        words = f"layout {'nested' if tensor.is_nested else tensor.layout}, expected torch.strided"
        return Finding(what="layout", tensor=name, words=words)
    misshapen = wrong_shape(name, tensor, shape)
    if misshapen:
        return misshapen
    if tensor.dtype != dtype:
        return Finding(what="dtype", tensor=name, words=f"dtype {tensor.dtype}, expected {dtype}")
    if tensor.device != inputs.query.device:
        return Finding(what="device", tensor=name, words=f"on {tensor.device}, expected {inputs.query.device}")
    return None


def facts(problem: Problem, output: Output, empty: Tensor, declared: EmptyRows) -> list[Finding]:
    """What is wrong with an output before any value is compared with a reference; `empty` `[B, H, Sq]` marks rows
    without keys."""
    malformed = _shapes(problem, output)
    if malformed:
        return malformed
    findings = []
    if problem.wants_out:
        # Types of eight bits cannot be compared on a CPU.
        out = output.out.detach().to("cpu", problem.sum_dtype)
        findings.append(not_finite("out", torch.isfinite(out).all(dim=3) | empty))
        if declared.out == "zero":
            findings.append(_empty_rows("out", (out != 0).any(dim=3) & empty, "0"))
    if problem.wants_lse and output.lse is not None:
        lse = output.lse.detach().cpu()
        findings.append(not_finite("lse", torch.isfinite(lse) | empty))
        if declared.lse is not None:
            same = torch.isnan(lse) if math.isnan(declared.lse) else lse == declared.lse
            findings.append(_empty_rows("lse", ~same & empty, str(declared.lse)))
    return [finding for finding in findings if finding is not None]


def _shapes(problem: Problem, output: Output) -> list[Finding]:
    # One that would broadcast must not get as far as being subtracted from the reference.
    found = [wrong_shape("out", output.out, problem.out_shape)] if problem.wants_out else []
    if problem.wants_lse:
        missing = Finding(what="type", tensor="lse", words="missing")
        found.append(missing if output.lse is None else wrong_shape("lse", output.lse, problem.lse_shape))
    return [finding for finding in found if finding is not None]


def wrong_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> Finding | None:
    """The finding that a tensor has not the shape that it should."""
    if tuple(tensor.shape) == shape:
        return None
    return Finding(what="shape", tensor=name, words=f"shape {list(tensor.shape)}, expected {list(shape)}")


def not_finite(name: str, finite: Tensor) -> Finding | None:
    """The finding that a tensor is not finite, from the rows, bool `[B, H, Sq]`, in which it is."""
    place = first_place(~finite)
    if place is None:
        return None
    return Finding(what="finite", tensor=name, words=f"not finite in {place.share}", place=place)


def _empty_rows(name: str, wrong: Tensor, declared: str) -> Finding | None:
    place = first_place(wrong)
    if place is None:
        return None
    words = f"{place.count} rows without keys are not {declared} as declared"
    return Finding(what="empty_rows", tensor=name, words=words, place=place)
