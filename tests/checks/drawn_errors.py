"""A kernel whose errors are those of its budget: every call returns the truth and normal deviates."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pytest_attn.checks.subject import Subject
from pytest_attn.devices.device import Device
from pytest_attn.judge.budget.budget import OutBudget
from pytest_attn.judge.budget.errors import allowed_error
from pytest_attn.judge.verdict.false_alarms import FalseAlarms
from pytest_attn.judge.verdict.splits import sides_of
from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.oracles.exact import with_gradients
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Layout

NUMERICS = Numerics(probabilities="float32", exp_error=2.0**-40, chain=512)
"""Nothing of it depends on the dtype of the inputs, so that the budget of a split is that of these numerics; and hardly
anything shifts the LSE as a whole, which would leave its limit unused."""

Deviates = Callable[[Tensor, torch.Generator], Tensor]
"""Errors in standard deviations, of the shape of a result."""


def independent(like: Tensor, source: torch.Generator) -> Tensor:
    """One error for every element."""
    return torch.randn(like.shape, generator=source, dtype=like.dtype)


def weight_errors(problem: Problem, inputs: Inputs) -> Deviates:
    """One error for every weight, which all columns of its row have in common."""
    logits = inputs.query.double() @ inputs.key.double().transpose(2, 3) * problem.scale
    weights, value = logits.softmax(dim=3), inputs.value.double()
    sigma = (weights.square() @ value.square()).sqrt()

    def deviates(like: Tensor, source: torch.Generator) -> Tensor:
        return ((weights * independent(weights, source)) @ value / sigma).to(like.dtype)

    return deviates


@dataclass(frozen=True)
class Given:
    """Inputs that lie in no memory of their own."""

    inputs: Inputs

    def refill(self, inputs: Inputs) -> Given:
        """Other inputs."""
        return Given(inputs)


@dataclass(frozen=True, eq=False)
class Drawn(Subject):
    """A subject that runs no kernel; `deviates` are the errors of outputs and gradients."""

    source: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    deviates: Deviates = independent

    @staticmethod
    def of(case: Case, alarms: FalseAlarms) -> Drawn:
        """Of a kernel that does not claim to repeat its bits, so that every call is judged by its numbers."""
        problem, kernel = Problem.of(case), find_kernel("split_kv_decode" if case.variants else "eager")
        claims = replace(kernel.capabilities, deterministic=False)
        truths: dict[tuple[Problem, str], Reference] = {}

        def reference(problem: Problem, inputs: Inputs) -> Reference:
            key = (problem, inputs.key_of_content)
            if key not in truths:
                truths[key] = (with_gradients if problem.wants_grad else stream)(problem, inputs)
            return truths[key]

        return Drawn(
            kernel=Kernel("drawn", kernel.implementation, claims, lambda problem: NUMERICS),
            problem=problem,
            inputs=Inputs.draw(problem, 42, case.recipe),
            device=Device("cpu"),
            reference=reference,
            timed=lambda part: nullcontext(),
            alarms=alarms,
        )

    def laid_out(self, inputs: Inputs, layout: Layout, seed: int) -> Any:
        """See `Subject.laid_out`."""
        return Given(inputs)

    def trial(self, problem: Problem, given: Any, *, poisoned: bool = False) -> Any:
        """See `Subject.trial`."""
        return problem, given.inputs

    def call(self, trial: Any) -> Output:
        """The truth with errors of its own at every call."""
        problem, inputs = trial
        if not problem.num_splits:
            return self._result(problem, inputs)
        *parts, _ = sides_of(problem, inputs, self.kernel)
        results = [self._result(*part) for part in parts]
        lses = [result.lse for result in results if result.lse is not None]
        return Output(torch.stack([result.out for result in results]), torch.stack(lses))

    def _result(self, problem: Problem, inputs: Inputs) -> Output:
        truth, key = self.reference(problem, inputs), (problem, inputs.key_of_content, NUMERICS)
        if key not in self.budgets:
            self.budgets[key] = allowed_error(problem, inputs, truth, NUMERICS)
        budget = self.budgets[key]
        if problem.wants_grad:
            pairs = zip(truth.grads or (), budget.grads or (), strict=True)
            return Output(inputs.query, None, Gradients(*(self._off(true, errors.allowed) for true, errors in pairs)))
        assert truth.out is not None
        out = self._off(truth.out, budget.out) if budget.out else truth.out
        if budget.lse is None:
            return Output(out)
        return Output(out, truth.lse + independent(truth.lse, self.source) * budget.lse.sigma)

    def _off(self, true: Tensor, allowed: OutBudget) -> Tensor:
        """What is rounded last is bounded; of all else the model knows the variance alone."""
        rounded = (allowed.sigma.square() - allowed.rest.square()).clamp_min(0.0).sqrt()
        bounded = (self.deviates(true, self.source) * rounded).clamp(-allowed.bound, allowed.bound)
        return true + bounded + self.deviates(true, self.source) * allowed.rest
