"""What needs no budget: type, shape, dtype, device, finite, and rows without keys as declared."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pytest_attn.judge.verdict.verdict import Finding
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
    out, lse = _parts(returned)
    if not isinstance(out, Tensor):
        return Finding("type", f"out: the kernel returned {_what(returned)}, expected a tensor or (out, lse)")
    found = [_form("out", out, out_shape, problem.out_dtype, inputs)] if problem.wants_out else []
    if problem.wants_lse:
        if not isinstance(lse, Tensor):
            return Finding("type", f"lse: the kernel returned {_what(returned)}, expected (out, lse)")
        found.append(_form("lse", lse, lse_shape, problem.sum_dtype, inputs))
    elif isinstance(lse, Tensor) and lse.numel():
        return Finding(
            "lse", f"lse: not asked for, but the kernel returned {_what(lse)}, expected None or an empty tensor"
        )
    elif lse is not None and not isinstance(lse, Tensor):
        return Finding("lse", f"lse: not asked for, but the kernel returned {_what(lse)}")
    wrong = next((finding for finding in found if finding), None)
    return wrong or Output(out, lse if problem.wants_lse else None)


def _read_gradients(returned: Any, problem: Problem, inputs: Inputs) -> Output | Finding:
    if not isinstance(returned, Output) or returned.grads is None:
        return Finding("type", f"grads: the kernel returned {_what(returned)}, expected an Output with grads")
    shapes = {"dq": inputs.query.shape, "dk": inputs.key.shape, "dv": inputs.value.shape}
    for name, gradient in returned.grads._asdict().items():
        if not isinstance(gradient, Tensor):
            return Finding("type", f"{name}: the kernel gave {_what(gradient)}, expected a tensor")
        wrong = _form(name, gradient, tuple(shapes[name]), problem.dtype, inputs)
        if wrong:
            return wrong
    return returned


def _parts(returned: Any) -> tuple[Any, Any]:
    if isinstance(returned, Output):
        return returned.out, returned.lse
    if isinstance(returned, tuple | list) and len(returned) == 2:
        return returned[0], returned[1]
    return returned, None


def _what(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor {list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _form(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype, inputs: Inputs) -> Finding | None:
    misshapen = _shape(name, tensor, shape)
    if misshapen:
        return misshapen
    if tensor.dtype != dtype:
        return Finding("dtype", f"{name}: dtype {tensor.dtype}, expected {dtype}")
    if tensor.device != inputs.query.device:
        return Finding("device", f"{name}: on {tensor.device}, expected {inputs.query.device}")
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
        findings.append(_not_finite("out", torch.isfinite(out).all(dim=3) | empty))
        if declared.out == "zero":
            findings.append(_empty_rows("out", (out != 0).any(dim=3) & empty, "0"))
    if problem.wants_lse and output.lse is not None:
        lse = output.lse.detach().cpu()
        findings.append(_not_finite("lse", torch.isfinite(lse) | empty))
        if declared.lse is not None:
            same = torch.isnan(lse) if math.isnan(declared.lse) else lse == declared.lse
            findings.append(_empty_rows("lse", ~same & empty, str(declared.lse)))
    return [finding for finding in findings if finding is not None]


def _shapes(problem: Problem, output: Output) -> list[Finding]:
    # One that would broadcast must not get as far as being subtracted from the reference.
    found = [_shape("out", output.out, problem.out_shape)] if problem.wants_out else []
    if problem.wants_lse:
        found.append(
            Finding("type", "lse: missing") if output.lse is None else _shape("lse", output.lse, problem.lse_shape)
        )
    return [finding for finding in found if finding is not None]


def _shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> Finding | None:
    if tuple(tensor.shape) == shape:
        return None
    return Finding("shape", f"{name}: shape {list(tensor.shape)}, expected {list(shape)}")


def _not_finite(name: str, finite: Tensor) -> Finding | None:
    if bool(finite.all()):
        return None
    where = (~finite).nonzero()
    batch, head, row = where[0].tolist()
    place = f"first at batch {batch}, head {head}, row {row}"
    return Finding("finite", f"{name}: not finite in {len(where)} of {finite.numel()} rows, {place}")


def _empty_rows(name: str, wrong: Tensor, declared: str) -> Finding | None:
    if not bool(wrong.any()):
        return None
    where = wrong.nonzero()
    batch, head, row = where[0].tolist()
    place = f"first at batch {batch}, head {head}, row {row}"
    return Finding("empty_rows", f"{name}: {len(where)} rows without keys are not {declared} as declared, {place}")
