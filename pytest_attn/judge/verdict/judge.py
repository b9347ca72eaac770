"""The judge: compares what a kernel returned with the reference, against the budget or a flat tolerance."""

from __future__ import annotations

from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.budget.errors import allowed_error
from pytest_attn.judge.verdict.derived import derived
from pytest_attn.judge.verdict.facts import facts
from pytest_attn.judge.verdict.false_alarms import PER_CELL, FalseAlarms
from pytest_attn.judge.verdict.flat import flat, flat_limits
from pytest_attn.judge.verdict.gradients import judge_gradients
from pytest_attn.judge.verdict.reference_checks import reference_faults
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.judge.verdict.verdict import Verdict
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
    alarms: FalseAlarms = PER_CELL,
) -> Verdict:
    """The verdict on an output of `kernel` for a problem. Facts come first: values are compared only where shape,
    dtype and finiteness are right.

    `allowed`: the budget where the reference has errors of its own; None = that of the kernel on the problem.
    `alarms`: how often a correct kernel may be called wrong here; a cell that compares several results shares its own.
    """
    if problem.wants_grad:
        allowed = allowed or budget_of(problem, inputs, reference, kernel)
        return judge_gradients(problem, inputs, output, reference, allowed, kernel.empty_rows, alarms)
    findings = reference_faults(problem, inputs, output, reference)
    findings = findings or facts(problem, output, reference.empty_rows, kernel.empty_rows)
    if findings:
        return Verdict(tuple(findings))
    out = output.out.detach().cpu().to(problem.oracle_dtype) if problem.wants_out else None
    lse = output.lse.detach().cpu().to(problem.oracle_dtype) if output.lse is not None and problem.wants_lse else None
    if tolerance == DERIVED:
        allowed = allowed or budget_of(problem, inputs, reference, kernel)
        return derived(out, lse, reference, allowed, inputs, alarms)
    return flat(out, lse, reference, flat_limits(problem, inputs, reference, [tolerance])[tolerance])


def budget_of(problem: Problem, inputs: Inputs, reference: Reference, kernel: Kernel) -> Budget:
    """The rounding error that a result of the kernel may have: its output and LSE, or its gradients."""
    return allowed_error(problem, inputs, reference, kernel.numerics_for(problem))
