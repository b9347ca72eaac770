"""A result of the kernel against what its own other results make one expect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.checks.check import Check, also
from pytest_attn.checks.subject import Subject
from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


class Side(NamedTuple):
    """One run of the kernel: a problem and its inputs."""

    problem: Problem
    inputs: Inputs


@dataclass(frozen=True, eq=False)
class Estimate:
    """A result that is not exact: out `[B, H, Sq, Dv]` and lse `[B, H, Sq]`, None where not asked for, one precision
    above the inputs; and the error that they may have."""

    out: Tensor | None
    lse: Tensor | None
    error: Budget

    @staticmethod
    def of(subject: Subject, side: Side, result: Output) -> Estimate:
        """What the kernel returned for a side."""
        dtype = side.problem.oracle_dtype
        out = result.out.cpu().to(dtype) if side.problem.wants_out else None
        return Estimate(out, None if result.lse is None else result.lse.cpu().to(dtype), subject.budget(*side))


class Plan(NamedTuple):
    """One comparison: the result of `compared` against what `expected` makes of the results of `sources`."""

    words: str
    compared: Side
    sources: tuple[Side, ...]
    expected: Callable[..., Estimate]


def same(source: Estimate) -> Estimate:
    """The result of the one source itself."""
    return source


def relation(
    plans: Callable[[Subject], Iterable[Plan]],
    problems: Callable[[Problem], Iterable[Problem]] = lambda problem: (),
) -> Check:
    """A check of plans; `problems`: what they run beside the problem of the case."""
    return Check(
        also(lambda subject: _verdicts(subject, [*plans(subject)])),
        lambda problem: (problem, *problems(problem)),
    )


def _verdicts(subject: Subject, plans: Sequence[Plan]) -> Iterator[Verdict]:
    subject = subject.sharing(len(plans))
    for plan in plans:
        results = [subject.run_whole(*side) for side in (plan.compared, *plan.sources)]
        found = next((result for result in results if isinstance(result, Finding)), None)
        if found:
            yield Verdict((found,)).of(plan.words)
            continue
        compared, *sources = (result for result in results if not isinstance(result, Finding))
        estimates = [Estimate.of(subject, side, result) for side, result in zip(plan.sources, sources, strict=True)]
        yield compare_related(subject, plan.compared, compared, plan.expected(*estimates)).of(plan.words)


def compare_related(subject: Subject, side: Side, result: Output, expected: Estimate) -> Verdict:
    """The verdict on a result against an estimate, whose error is added to that of the result."""
    reference = subject.reference(*side)
    empty = reference.empty_rows
    # What a kernel returns for rows without keys is its own convention, and a fact to the judge.
    out = None if expected.out is None else torch.where(empty.unsqueeze(3), 0.0, expected.out)
    lse = reference.lse if expected.lse is None else torch.where(empty, -torch.inf, expected.lse)
    with subject.timed("judge"):
        allowed = subject.budget(*side).plus(expected.error)
        reference = replace(reference, out=out, lse=lse)
        return judge(*side, result, reference, subject.kernel, subject.tolerance, allowed, subject.alarms)
