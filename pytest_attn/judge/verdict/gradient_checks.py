"""Whether reference gradients can be the truth: what no right ones show, whatever the kernel returned."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.reference_checks import doubt, overlap
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

SLACK = 1e-4
"""How far a sum may be off, of the sum of its sizes; float32 sums of 10^5 terms stay below a tenth of it."""


def gradient_reference_faults(problem: Problem, inputs: Inputs, output: Output, reference: Reference) -> list[Finding]:
    """What is wrong with reference gradients, as findings "reference"; empty where they may be right.

    Their shapes, memory shared with the kernel, infinities and NaN, and two sums: the weights of a row add up to 1, so
    dV over all keys is dO over all rows with keys; and <q, dQ> = <k, dK>, as both are the sum of dS * s.
    """
    return [*_form(inputs, output, reference)] or [*_sums(problem, inputs, reference)]


def _form(inputs: Inputs, output: Output, reference: Reference) -> Iterator[Finding]:
    if reference.grads is None:
        yield doubt("", "no gradients")
        return
    shapes = {"dq": inputs.query.shape, "dk": inputs.key.shape, "dv": inputs.value.shape}
    for name, gradient in reference.grads._asdict().items():
        if gradient.shape != shapes[name]:
            yield doubt(name, f"{name} has shape {list(gradient.shape)}, expected {list(shapes[name])}")
        elif not bool(torch.isfinite(gradient).all()):
            yield doubt(name, f"{name} is not finite")
        for theirs, returned in (output.grads._asdict() if output.grads else {}).items():
            if overlap(returned, gradient):
                yield doubt(name, f"{name} shares memory with the kernel's {theirs}")


def _sums(problem: Problem, inputs: Inputs, reference: Reference) -> Iterator[Finding]:
    assert reference.grads is not None
    assert inputs.grad_out is not None
    query, key, grad_out = (tensor.cpu().double() for tensor in (inputs.query, inputs.key, inputs.grad_out))
    dq, dk, dv = (tensor.double() for tensor in reference.grads)
    grad_out = grad_out.masked_fill(reference.empty_rows.unsqueeze(3), 0.0)
    by_head = grad_out.view(problem.batch, problem.key_heads, -1, problem.value_dim)
    if _differ(dv.sum(dim=2), by_head.sum(dim=2), by_head.abs().sum(dim=2)):
        yield doubt("dv", "dv over all keys is not dO over all rows")
    by_query, by_key = query * dq, key * dk
    shape = (problem.batch, problem.key_heads, -1)
    sizes = by_query.abs().reshape(shape).sum(dim=2) + by_key.abs().reshape(shape).sum(dim=2)
    if _differ(by_query.reshape(shape).sum(dim=2), by_key.reshape(shape).sum(dim=2), sizes):
        yield doubt("", "<q, dq> is not <k, dk>")


def _differ(first: Tensor, second: Tensor, sizes: Tensor) -> bool:
    return bool(((first - second).abs() > SLACK * sizes).any())
