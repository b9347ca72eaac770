"""Every judge of a problem: the derived budget and the flat tolerances, ready to judge many outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.verdict.facts import facts
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.flat import FlatLimits, flat, flat_limits
from pytest_attn.judge.verdict.judge import budget_of, judge
from pytest_attn.judge.verdict.tolerances import DERIVED, FLAT
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.oracles.exact import with_gradients
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.power.defects import Result

JUDGES = (DERIVED, *FLAT)
"""Names of the judges, in the order of columns."""


@dataclass(frozen=True, eq=False)
class Stored:
    """An output as a kernel returns it, and what is wrong with it before any value is compared."""

    output: Output
    wrong: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class Judges:
    """The reference of a problem, and what each flat tolerance allows there."""

    problem: Problem
    inputs: Inputs
    kernel: Kernel
    reference: Reference
    allowed: Budget
    limits: Mapping[str, FlatLimits]

    @staticmethod
    def of(problem: Problem, inputs: Inputs, kernel: Kernel) -> Judges:
        """The judges of `kernel` on a problem; computes the reference, and plain attention in the input's dtype.
        Gradients have the derived budget alone."""
        if problem.wants_grad:
            reference = with_gradients(problem, inputs)
            return Judges(problem, inputs, kernel, reference, budget_of(problem, inputs, reference, kernel), {})
        reference = stream(problem, inputs)
        allowed = budget_of(problem, inputs, reference, kernel)
        return Judges(problem, inputs, kernel, reference, allowed, flat_limits(problem, inputs, reference, FLAT))

    @property
    def names(self) -> tuple[str, ...]:
        """Those that judge the problem."""
        return (DERIVED, *self.limits)

    def store(self, result: Result) -> Stored:
        """A result as the judges take it."""
        output = result.stored(self.problem)
        if self.problem.wants_grad:
            return Stored(output, ())
        return Stored(output, tuple(facts(self.problem, output, self.reference.empty_rows, self.kernel.empty_rows)))

    def verdict(self, name: str, stored: Stored) -> Verdict:
        """What one of the judges says."""
        if name == DERIVED:
            return judge(self.problem, self.inputs, stored.output, self.reference, self.kernel, allowed=self.allowed)
        if stored.wrong:
            return Verdict(stored.wrong)
        out = stored.output.out if self.problem.wants_out else None
        return flat(out, stored.output.lse, self.reference, self.limits[name])

    def sees(self, name: str, stored: Stored) -> bool:
        """Whether one of the judges calls a result wrong."""
        return not self.verdict(name, stored).passed
