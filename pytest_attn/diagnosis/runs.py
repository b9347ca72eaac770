"""A kernel that failed a case, run again, and what hypotheses about it are tested on."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pytest_attn.checks.buffers import GuardedInputs
from pytest_attn.checks.subject import Subject
from pytest_attn.checks.trial import Trial
from pytest_attn.checks.value import POISONED
from pytest_attn.diagnosis.memory_fill import unwritten_memory
from pytest_attn.diagnosis.model import Model, sampled_rows
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.judge.budget.errors import allowed_error
from pytest_attn.judge.verdict.derived import derived
from pytest_attn.judge.verdict.facts import facts
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.judge import judge
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Dense
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Ask, Layout

UNDERFLOW = 1e-30
"""Weights whose exponentials underflow make smaller outputs than this, or 0."""

FAR_OFF = 0.2
"""Errors of this share of a result are no rounding."""


@dataclass(frozen=True, eq=False)
class Runs:
    """A kernel on a case that it failed, and what it returns there when it is run again."""

    subject: Subject
    verdict: Verdict
    box: TimeBox

    @property
    def problem(self) -> Problem:
        """The problem of the case: shapes, dtype, scale, mask and variants."""
        return self.subject.problem

    @cached_property
    def shown(self) -> Problem:
        """The problem, with the output asked for where the case asks for the LSE alone."""
        return replace(self.problem, ask="both") if self.problem.ask == "lse" else self.problem

    @property
    def inputs(self) -> Inputs:
        """The inputs of the case, on the device of the kernel."""
        return self.subject.inputs

    @property
    def in_poisoned_memory(self) -> bool:
        """Whether what is wrong shows in poisoned memory alone, so that the kernel is run there again."""
        return self.verdict.findings[0].part.startswith(POISONED)

    def run(
        self,
        problem: Problem,
        inputs: Inputs,
        layout: Layout | None = None,
        around: float = torch.nan,
        unwritten: float = torch.nan,
        *,
        poisoned: bool | None = None,
    ) -> Output | Finding | None:
        """What the kernel returns, on the CPU; None where there is no time left.

        `around` fills the memory beside the inputs, `unwritten` the memory that the kernel allocates or is given.
        `poisoned`: whether that holds NaN where no number is given; by default where what is wrong shows there alone.
        """
        if not self.box.has_room_for(1):
            return None
        subject = self.subject
        given = GuardedInputs.of(inputs, layout or subject.layout, subject.seed, around)
        poisoned = self.in_poisoned_memory if poisoned is None else poisoned
        trial = Trial(subject.kernel, problem, given, subject.device, poisoned=poisoned, unwritten=unwritten)
        with nullcontext() if math.isnan(unwritten) else unwritten_memory(unwritten), self.box.run():
            output = trial()
        if isinstance(output, Finding):
            return output
        lse = output.lse if problem.wants_lse else None
        grads = output.grads and Gradients(*(tensor.detach().cpu().clone() for tensor in output.grads))
        return Output(output.out.detach().cpu().clone(), None if lse is None else lse.detach().cpu().clone(), grads)

    @cached_property
    def second(self) -> Output | Finding | None:
        """What the kernel returns when it is run on the case again; the output with it where only the LSE is asked
        for."""
        result = self.run(self.problem, self.inputs)
        if self.problem.wants_out or self.problem.wants_grad or not isinstance(result, Output):
            return result
        beside = self.run(self.shown, self.inputs)
        return replace(result, out=beside.out) if isinstance(beside, Output) else beside

    @cached_property
    def poisoned(self) -> Output | Finding | None:
        """What the kernel returns for the case where memory that it allocates holds NaN, whatever the verdict says."""
        if self.in_poisoned_memory and not isinstance(self.second, Finding):
            return self.second
        return self.run(self.problem, self.inputs, poisoned=True)

    @cached_property
    def truth(self) -> Reference:
        """The reference of the case: the exact output, LSE or gradients."""
        return self.subject.reference(self.subject.problem, self.inputs)

    def right(self, output: Output | Finding | None) -> bool:
        """Whether a result is right on the case, by the tolerance that the case was judged by."""
        if not isinstance(output, Output):
            return False
        tolerance, kernel = self.subject.tolerance, self.subject.kernel
        return judge(self.problem, self.inputs, output, self.truth, kernel, tolerance).passed

    @cached_property
    def second_is_right(self) -> bool:
        """Whether the second result is right; for the derived budget, in the rows that are looked at."""
        if self.subject.tolerance != DERIVED or self._beyond_models or not isinstance(self.second, Output):
            return self.right(self.second)
        return self.explained_by(self.model.reference(), self.problem.ask)

    @property
    def _beyond_models(self) -> bool:
        """Whether models know less than the case asks: a variant, or gradients."""
        return bool(self.problem.variants) or self.problem.wants_grad

    @cached_property
    def is_finite(self) -> bool:
        """Whether every number of the second result is finite."""
        if not isinstance(self.second, Output):
            return True
        lse, grads = self.second.lse, self.second.grads or ()
        finite = all(bool(tensor.isfinite().all()) for tensor in (self.second.out, *grads))
        return finite and (lse is None or not bool(lse.isnan().any()))

    # The rows that hypotheses are tested on

    @cached_property
    def rows(self) -> Tensor:
        """Rows that are looked at: all of a small problem, of a large one the worst and some that lie evenly; of those
        without keys, none where the kernel leaves them unspecified."""
        error = torch.zeros(self.problem.lse_shape)
        output = self.second
        if isinstance(output, Output) and self.truth.out is not None:
            error += (output.out - self.truth.out).abs().mean(dim=3) / self.truth.out.abs().mean(dim=3)
        if isinstance(output, Output) and output.lse is not None:
            error += (output.lse - self.truth.lse).abs()
        rows = sampled_rows(self.problem, error.nan_to_num(0.0, posinf=1e30).clamp_max(1e30).amax(dim=(0, 1)))
        keyless = self.truth.empty_rows.all(dim=1).all(dim=0)[rows]
        unspecified = self.subject.kernel.empty_rows.out == "any" and not bool(keyless.all())
        return rows[~keyless] if unspecified else rows

    @cached_property
    def model(self) -> Model:
        """The correct computation of the rows that are looked at."""
        return Model.of(self.problem, self.inputs, self.rows)

    @cached_property
    def sample(self) -> tuple[Problem, Inputs]:
        """The problem of those rows alone, for the judge."""
        query = self.inputs.query[:, :, self.rows.to(self.inputs.query.device)]
        problem = replace(self.shown, query_length=len(self.rows), mask=Dense())
        return problem, Inputs(query, self.inputs.key, self.inputs.value, "sample")

    @cached_property
    def output(self) -> Output | None:
        """The second result in the rows that are looked at, on the CPU."""
        if not isinstance(self.second, Output):
            return None
        lse = self.second.lse
        return Output(self.second.out[:, :, self.rows], None if lse is None else lse[:, :, self.rows])

    @cached_property
    def out(self) -> Tensor | None:
        """The output in those rows, in the precision of models."""
        return None if self.output is None else self.output.out.to(self.problem.oracle_dtype)

    @cached_property
    def lse(self) -> Tensor | None:
        """The LSE in those rows, in the precision of models."""
        if self.output is None or self.output.lse is None:
            return None
        return self.output.lse.to(self.problem.oracle_dtype)

    def explained_by(self, reference: Reference, ask: Ask | None = None, output: Output | None = None) -> bool:
        """Whether the second result, or another `output`, is within the budget what a hypothesis says it should be.

        What a wrong kernel computes need not be possible for a right one, so the reference itself is not doubted.
        """
        output = output or self.output
        if output is None:
            return False
        problem, inputs = self.sample
        problem = replace(problem, ask=ask or ("both" if output.lse is not None else "out"))
        kernel = self.subject.kernel
        if not near(problem, output, reference) or facts(problem, output, reference.empty_rows, kernel.empty_rows):
            return False
        out = output.out.to(problem.oracle_dtype) if problem.wants_out else None
        if out is not None and reference.out is not None:
            out = torch.where((out - reference.out).abs() < UNDERFLOW, reference.out, out)
        lse = output.lse.to(problem.oracle_dtype) if output.lse is not None and problem.wants_lse else None
        allowed = allowed_error(problem, inputs, reference, kernel.numerics_for(problem))
        return derived(out, lse, reference, allowed, inputs).passed

    @cached_property
    def out_is_right(self) -> bool:
        """Whether the output is right in those rows; it may have been looked at only now."""
        return self.explained_by(self.model.reference(), "out")

    @cached_property
    def lse_is_right(self) -> bool:
        """Whether the LSE is right in those rows, or not asked for."""
        return not self.problem.wants_lse or self.explained_by(self.model.reference(), "lse")


def near(problem: Problem, output: Output, reference: Reference) -> bool:
    """Whether a result is so close to a reference that it is worth a budget: most hypotheses are far off."""
    kept = ~reference.empty_rows
    pairs: list[tuple[Tensor | None, Tensor | None]] = [(output.lse, reference.lse)] if problem.wants_lse else []
    pairs += [(output.out, reference.out)] if problem.wants_out else []
    for found, expected in pairs:
        if found is None or expected is None:
            return False
        off, size = (found - expected)[kept].square().mean(), expected[kept].square().mean()
        # NaN and infinities are left to the judge.
        if bool(off > FAR_OFF**2 * size + UNDERFLOW):
            return False
    return True
