"""The judge: compares what a kernel returned with the reference, against the budget or a flat tolerance."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.judge.budget import Budget
from pytest_attn.judge.derived import derived
from pytest_attn.judge.facts import facts
from pytest_attn.judge.reference_checks import doubts
from pytest_attn.judge.rounding import budget
from pytest_attn.judge.tolerances import DERIVED, TOLERANCES
from pytest_attn.judge.verdict import Finding, Verdict
from pytest_attn.judge.worst import Worst
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def judge(
    problem: Problem,
    inputs: Inputs,
    output: Output,
    reference: Reference,
    kernel: Kernel,
    tolerance: str = DERIVED,
    allowed: Budget | None = None,
) -> Verdict:
    """The verdict on an output of `kernel` for a problem. Facts come first: values are compared only where shape,
    dtype and finiteness are right.

    `allowed`: the budget where the reference has errors of its own; None = that of the kernel on the problem.
    """
    findings = doubts(problem, inputs, output, reference)
    findings = findings or facts(problem, output, reference.empty_rows, kernel.empty_rows)
    if findings:
        return Verdict(tuple(findings))
    out = output.out.detach().cpu().to(problem.oracle_dtype) if problem.wants_out else None
    lse = output.lse.detach().cpu().to(problem.oracle_dtype) if output.lse is not None and problem.wants_lse else None
    if tolerance == DERIVED:
        allowed = allowed or budget(problem, inputs, reference, kernel.numerics_for(problem.dtype))
        return derived(out, lse, reference, allowed, inputs)
    return _flat(out, lse, reference, problem, tolerance)


def _flat(out: Tensor | None, lse: Tensor | None, reference: Reference, problem: Problem, name: str) -> Verdict:
    findings: list[Finding] = []
    figures: dict[str, float] = {}
    kept = ~reference.empty_rows
    flat = TOLERANCES[name](problem)
    compared: list[tuple[str, Tensor, Tensor, tuple[float, float]]] = []
    if out is not None and reference.out is not None:
        compared.append(("out", out, reference.out, flat.out))
    if lse is not None:
        compared.append(("lse", lse.unsqueeze(3), reference.lse.unsqueeze(3), flat.lse))
    for what, actual, expected, (rtol, atol) in compared:
        error = torch.where(kept.unsqueeze(3), actual - expected, 0.0).abs()
        bound = atol + rtol * torch.where(kept.unsqueeze(3), expected, 0.0).abs()
        worst = Worst.of((error / bound).amax(dim=3))
        figures[f"{what}_error"], figures[f"{what}_share"] = float(error.max()), worst.share
        if not worst.share <= 1.0:
            limit = f"the tolerance {name} (rtol {rtol:g}, atol {atol:g})"
            text = f"{what}: error {error.max():.3g}, {worst.share:.3g} x {limit}"
            findings.append(Finding(what, f"{text}, {worst.place(kept.shape)}"))
    return Verdict(tuple(findings), figures)
