"""Every judge of a problem: the derived budget and the flat tolerances, ready to judge many outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_attn.judge.facts import facts
from pytest_attn.judge.flat import FlatLimits, flat, flat_limits
from pytest_attn.judge.judge import judge
from pytest_attn.judge.tolerances import DERIVED, FLAT
from pytest_attn.judge.verdict import Finding, Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import stream
from pytest_attn.power.clean import Unrounded
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

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
    limits: Mapping[str, FlatLimits]

    @staticmethod
    def of(problem: Problem, inputs: Inputs, kernel: Kernel) -> Judges:
        """The judges of `kernel` on a problem; computes the reference, and plain attention in the input's dtype."""
        reference = stream(problem, inputs)
        return Judges(problem, inputs, kernel, reference, flat_limits(problem, inputs, reference, FLAT))

    def store(self, result: Unrounded) -> Stored:
        """A result as the judges take it."""
        output = result.stored(self.problem)
        return Stored(output, tuple(facts(self.problem, output, self.reference.empty_rows, self.kernel.empty_rows)))

    def verdict(self, name: str, stored: Stored) -> Verdict:
        """What one of the judges says."""
        if name == DERIVED:
            return judge(self.problem, self.inputs, stored.output, self.reference, self.kernel)
        if stored.wrong:
            return Verdict(stored.wrong)
        out = stored.output.out if self.problem.wants_out else None
        return flat(out, stored.output.lse, self.reference, self.limits[name])

    def sees(self, name: str, stored: Stored) -> bool:
        """Whether one of the judges calls a result wrong."""
        return not self.verdict(name, stored).passed
