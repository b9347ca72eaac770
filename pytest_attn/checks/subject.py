"""The kernel under test on one case, as a check holds it: run it, get the truth, compare."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import torch

from pytest_attn.checks.buffers import GuardedInputs
from pytest_attn.checks.trial import Trial
from pytest_attn.devices.device import Device
from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.budget.merging import merged_output
from pytest_attn.judge.verdict.false_alarms import PER_CELL, FalseAlarms
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.judge import budget_of, judge
from pytest_attn.judge.verdict.splits import judge_splits, sides_of
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import visible_keys
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Layout

Timed = Callable[[str], AbstractContextManager[None]]
"""Adds the time inside the context to a part of the run: "kernel", "judge"."""

Budgets = dict[tuple[Problem, str, Numerics], Budget]
"""Budgets by problem, content of the inputs and arithmetic."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A kernel, the problem and inputs of its case, and what checks need to try it.

    `reference` gives the truth of any problem and inputs; `seed` draws strides and what else a check needs.
    """

    kernel: Kernel
    problem: Problem
    inputs: Inputs
    device: Device
    reference: Callable[[Problem, Inputs], Reference]
    timed: Timed
    layout: Layout = "contiguous"
    tolerance: str = DERIVED
    seed: int = 42
    alarms: FalseAlarms = PER_CELL
    """How often a correct kernel may be called wrong by all that this subject compares."""
    budgets: Budgets = field(default_factory=dict, repr=False)
    """Those that were derived so far."""

    def sharing(self, among: int) -> Subject:
        """The subject of one of so many results that a check compares, which share its rate of false alarms."""
        return replace(self, alarms=self.alarms.shared(among))

    def draw(self, problem: Problem, seed: int) -> Inputs:
        """Normal inputs of a problem on the device, others for every seed."""
        with self.timed("inputs"):
            return specified(self.kernel, problem, Inputs.draw(problem, self.seed + seed).to(self.device.torch))

    def generator(self) -> torch.Generator:
        """A fresh source of what a check draws; the same for every check of one seed."""
        return torch.Generator().manual_seed(self.seed)

    def claims(self, problem: Problem, layout: Layout | None = None) -> bool:
        """Whether the kernel claims a problem, in the layout of the case or another."""
        return self.kernel.capabilities.why_not(problem, self.device.type, layout or self.layout) is None

    def guarded(self, inputs: Inputs) -> GuardedInputs:
        """A copy of inputs inside memory of NaN, laid out as the case says."""
        with self.timed("inputs"):
            return self.laid_out(inputs, self.layout, self.seed)

    def laid_out(self, inputs: Inputs, layout: Layout, seed: int) -> GuardedInputs:
        """A copy of inputs in another layout; padding holds NaN where the kernel claims not to read it."""
        return GuardedInputs.of(inputs, layout, seed, poisoned=self.kernel.capabilities.unread_padding)

    def run(self, problem: Problem, inputs: Inputs) -> Output | Finding:
        """What the kernel returns for a guarded copy of the inputs."""
        return self.run_on(problem, self.guarded(inputs))

    def run_on(self, problem: Problem, given: GuardedInputs) -> Output | Finding:
        """What the kernel returns for these inputs, which it must leave as they are."""
        return self.call(self.trial(problem, given))

    def run_whole(self, problem: Problem, inputs: Inputs) -> Output | Finding:
        """What `run` returns; where that is partial results, merged in float64."""
        result = self.run(problem, inputs)
        return merged_output(result) if problem.num_splits and not isinstance(result, Finding) else result

    def trial(self, problem: Problem, given: GuardedInputs, *, poisoned: bool = False) -> Trial:
        """The kernel on these inputs, prepared at the first call; `poisoned`: memory that it allocates holds NaN."""
        return Trial(self.kernel, problem, given, self.device, poisoned=poisoned)

    def call(self, trial: Trial) -> Output | Finding:
        """What a trial returns, in memory that no later call overwrites."""
        with self.timed("kernel"):
            returned = trial()
        return returned if isinstance(returned, Finding) else returned.clone()

    def budget(self, problem: Problem, inputs: Inputs) -> Budget:
        """The rounding error that a result of the kernel may have; derived once."""
        numerics = self.kernel.numerics_for(problem)
        key = (problem, inputs.key_of_content, numerics)
        if key not in self.budgets:
            self.budgets[key] = budget_of(problem, inputs, self.reference(problem, inputs), self.kernel)
        return self.budgets[key]

    def compare(self, problem: Problem, inputs: Inputs, result: Output | Finding) -> Verdict:
        """The verdict on a result of `run`, against the truth. The kernel runs before its oracle."""
        if isinstance(result, Finding):
            return Verdict((result,))
        if problem.num_splits:
            return self._compare_splits(problem, inputs, result)
        reference = self.reference(problem, inputs)
        with self.timed("judge"):
            allowed = self.budget(problem, inputs) if self.tolerance == DERIVED else None
            return judge(problem, inputs, result, reference, self.kernel, self.tolerance, allowed, self.alarms)

    def _compare_splits(self, problem: Problem, inputs: Inputs, partials: Output) -> Verdict:
        sides = sides_of(problem, inputs, self.kernel, self.tolerance)
        truths = {own: self.reference(own, given) for own, given in sides}
        with self.timed("judge"):
            return judge_splits(
                problem, inputs, partials, lambda own, _: truths[own], self.kernel, self.tolerance, self.alarms
            )


def specified(kernel: Kernel, problem: Problem, inputs: Inputs) -> Inputs:
    """The inputs with grad_out 0 in rows without keys where the kernel leaves the output of these unspecified: nothing
    depends on what has no value, so it has no gradient that could reach a key."""
    if inputs.grad_out is None or kernel.empty_rows.out == "zero":
        return inputs
    empty = visible_keys(problem.mask, problem.lengths, problem.batch, problem.query_heads) == 0
    return replace(inputs, grad_out=inputs.grad_out.masked_fill(empty.unsqueeze(3).to(inputs.grad_out.device), 0.0))
