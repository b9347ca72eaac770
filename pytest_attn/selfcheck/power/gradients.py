"""A correct backward pass whose gradients are kept before their last rounding, and the defects of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.backward_loop import BackwardLoop
from pytest_attn.selfcheck.power.clean import Clean
from pytest_attn.selfcheck.power.defects import SHARES, Defect, LeftOut, anew, spread
from pytest_attn.selfcheck.power.search import Amounts


@dataclass(frozen=True, eq=False)
class UnroundedGradients:
    """What a backward pass holds before it stores its result: the output as it was stored, gradients in float32."""

    out: Tensor
    grads: Gradients

    def stored(self, problem: Problem) -> Output:
        """The result as the kernel returns it: every gradient rounded once to the problem's dtype."""
        return Output(self.out, None, Gradients(*(gradient.to(problem.dtype) for gradient in self.grads)))

    def times(self, name: str, factor: float) -> UnroundedGradients:
        """The result with one gradient times a factor."""
        scaled = self.grads._replace(**{name: getattr(self.grads, name) * factor})
        return UnroundedGradients(self.out, scaled)


class CleanBackward(BackwardLoop, Clean):
    """The backward loop behind the clean forward one."""

    def backward(self, problem: Problem, inputs: Inputs) -> UnroundedGradients:
        """The whole result before it is stored."""
        forward = self.forward(problem, inputs)
        return UnroundedGradients(forward.out, self.summed_gradients(problem, inputs, forward))


class _Delta(CleanBackward):
    """delta, the row sum of grad_out * out, is off by a factor."""

    factor: float

    def delta(self, inputs: Inputs, forward: Output) -> Tensor:
        return super().delta(inputs, forward) * self.factor


class _Scale(CleanBackward):
    """The softmax scale of the logits is off by a factor in the backward pass."""

    factor: float

    def backward_scores(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        return super().backward_scores(problem, query, key) * self.factor


class _Without(CleanBackward):
    """Some keys are left out of the backward pass."""

    dropped: Tensor

    def backward_beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        return super().backward_beyond(problem, keys, key) | torch.isin(key, self.dropped)


def gradient_defects(
    problem: Problem, inputs: Inputs, correct: UnroundedGradients, flops: int
) -> Iterator[Defect | LeftOut]:
    """Every kind of defect of a backward pass."""
    for name in correct.grads._fields:
        yield Defect(f"{name} times 1 + x", "share", SHARES, lambda x, name=name: correct.times(name, 1 + x))  # type: ignore[misc]
    for title, loop in (("delta times 1 + x", _Delta), ("softmax scale of the backward pass times 1 + x", _Scale)):

        def scaled(x: float, loop: type[_Delta | _Scale] = loop) -> UnroundedGradients:
            wrong = loop(problem)
            wrong.factor = 1 + x
            return wrong.backward(problem, inputs)

        yield anew(flops, title, "share", SHARES, scaled)
    title = "keys left out of the backward pass"
    if problem.key_length < 2:
        yield LeftOut(title, "there is one key")
        return

    def dropped(count: float) -> UnroundedGradients:
        wrong = _Without(problem)
        wrong.dropped = spread(torch.arange(problem.key_length), int(count))
        return wrong.backward(problem, inputs)

    yield anew(flops, title, "keys", Amounts(1, problem.key_length // 2, whole=True), dropped)
