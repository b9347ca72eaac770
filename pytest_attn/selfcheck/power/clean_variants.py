"""The clean kernel of the variants of attention."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import sinks
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.variant_loop import VariantLoop
from pytest_attn.selfcheck.power.clean import Clean, Rescaled, Unrounded, Without


class CleanVariants(VariantLoop, Clean):
    """The loop of the variants, its result in the padded form and before it is stored."""

    def unrounded(self, problem: Problem, inputs: Inputs) -> Unrounded:
        """See `Clean.unrounded`; tokens that no sequence has hold what a row without keys does."""
        out_shape, lse_shape = problem.stored_shapes
        dtype = problem.oracle_dtype
        stored = Output(torch.zeros(out_shape, dtype=dtype), torch.zeros(lse_shape, dtype=torch.float64))
        assert stored.lse is not None
        self.fill(problem, inputs.stored(), stored)
        if problem.storage is None:
            return Unrounded(stored.out, stored.lse)
        sink = sinks(problem, inputs)
        out, lse = torch.zeros(problem.out_shape, dtype=dtype), torch.full(problem.lse_shape, -torch.inf).double()
        if sink is not None:
            lse.copy_(sink.view(1, -1, 1).expand_as(lse))
        problem.storage.restore(problem, stored.out, out)
        problem.storage.restore(problem, stored.lse, lse)
        return Unrounded(out, lse)


class _Without(Without, CleanVariants):
    """Some keys are attended by no row."""


class _Rescaled(Rescaled, CleanVariants):
    """The softmax scale is off by a factor."""


def clean(problem: Problem) -> Clean:
    """The clean kernel of a problem."""
    return CleanVariants(problem) if problem.variants else Clean(problem)


def without(problem: Problem, keys: Tensor) -> Clean:
    """The kernel that attends to some keys in no row."""
    return _Without(problem, keys) if problem.variants else Without(problem, keys)


def rescaled(problem: Problem, factor: float) -> Clean:
    """The kernel whose softmax scale is off by a factor."""
    return _Rescaled(problem, factor) if problem.variants else Rescaled(problem, factor)
