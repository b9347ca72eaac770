"""The verdict on gradients: facts, then the errors of dQ, dK and dV against their budget."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_attn.judge.budget.budget import Budget, GradientErrors
from pytest_attn.judge.verdict.derived import OutErrors
from pytest_attn.judge.verdict.facts import not_finite, wrong_shape
from pytest_attn.judge.verdict.false_alarms import PER_CELL, FalseAlarms
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.gradient_checks import gradient_reference_faults
from pytest_attn.judge.verdict.reference_checks import reference_faults
from pytest_attn.judge.verdict.statistics import Statistic, judged
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.judge.verdict.worst import first_place
from pytest_attn.kernels.kernel import Output
from pytest_attn.kernels.numerics import EmptyRows
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import seeing_queries
from pytest_attn.problem.problem import Problem


def judge_gradients(
    problem: Problem,
    inputs: Inputs,
    output: Output,
    reference: Reference,
    allowed: Budget,
    declared: EmptyRows = EmptyRows(),  # noqa: B008 - frozen
    alarms: FalseAlarms = PER_CELL,
) -> Verdict:
    """The verdict on the gradients of an output, whose statistics share the rate of `alarms`. Values are compared only
    where the facts are right."""
    findings = reference_faults(problem, inputs, output, reference)
    findings = findings or gradient_reference_faults(problem, inputs, output, reference)
    kept = kept_rows(problem, reference)
    findings = findings or gradient_facts(inputs, output, kept, declared)
    if findings:
        return Verdict(tuple(findings))
    assert output.grads is not None
    assert reference.grads is not None
    assert allowed.grads is not None
    statistics: list[Statistic] = []
    # No precision is above float64: the truth errs as the kernel does, alike in rows of equal terms.
    exact_alike = problem.dtype == torch.float64
    for name, gradient in output.grads._asdict().items():
        here = gradient.detach().cpu().double()
        budget: GradientErrors = getattr(allowed.grads, name)
        truth = getattr(reference.grads, name)
        least = torch.finfo(problem.dtype).smallest_normal
        errors = OutErrors(name, here, truth, kept[name], budget.allowed, budget.degrees, problem.dtype, least)
        repeats = math.inf if exact_alike else budget.repeats
        statistics += errors.statistics(problem.group if name == "dq" else 1, repeats)
    return judged(statistics, alarms)


def kept_rows(problem: Problem, reference: Reference) -> dict[str, Tensor]:
    """By gradient, bool `[B, H, S]`: queries that may attend to some key, and keys that some query may attend to."""
    seen = seeing_queries(problem.mask, problem.lengths, problem.batch, problem.query_heads) > 0
    seen = seen.view(problem.batch, problem.key_heads, problem.group, -1).any(dim=2)
    return {"dq": ~reference.empty_rows, "dk": seen, "dv": seen}


def gradient_facts(inputs: Inputs, output: Output, kept: dict[str, Tensor], declared: EmptyRows) -> list[Finding]:
    """What is wrong with gradients before any value is compared: shapes, infinities and NaN, and anything but 0 for
    queries without keys and keys that no query may attend to. An output that is unspecified has no gradient there:
    queries without keys are not judged then."""
    if output.grads is None:
        return [Finding(what="type", tensor="grads", words="missing")]
    shapes = {"dq": inputs.query.shape, "dk": inputs.key.shape, "dv": inputs.value.shape}
    found: list[Finding | None] = []
    for name, gradient in output.grads._asdict().items():
        misshapen = wrong_shape(name, gradient, shapes[name])
        if misshapen:
            return [misshapen]
        here = gradient.detach().cpu()
        finite, zero = torch.isfinite(here).all(dim=3), (here == 0).all(dim=3)
        if name == "dq" and declared.out == "any":
            found.append(not_finite(name, finite | ~kept[name]))
            continue
        found += [not_finite(name, finite), _not_zero(name, ~(zero | kept[name]))]
    return [finding for finding in found if finding is not None]


def _not_zero(name: str, wrong: Tensor) -> Finding | None:
    place = first_place(wrong)
    if place is None:
        return None
    rows = "rows without keys" if name == "dq" else "keys that no query may attend to"
    return Finding(what="unseen", tensor=name, words=f"{rows} are not 0 in {place.share}", place=place)
