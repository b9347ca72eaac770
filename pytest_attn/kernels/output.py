"""What a kernel returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pytest_attn.kernels.gradients import Gradients
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Output:
    """What a kernel returned: `out` `[B, Hq, Sq, Dv]` and, where asked for, `lse` `[B, Hq, Sq]` of
    the problem's `sum_dtype`, and `grads`."""

    out: Tensor
    lse: Tensor | None = None
    grads: Gradients | None = None

    def clone(self) -> Output:
        """A copy in memory of its own, which autograd does not follow."""
        lse = None if self.lse is None else self.lse.detach().clone()
        grads = self.grads and Gradients(*(tensor.detach().clone() for tensor in self.grads))
        return Output(self.out.detach().clone(), lse, grads)


def new_output(problem: Problem, inputs: Inputs) -> Output:
    """The output that a kernel of a problem is given to fill, on the device of the inputs, with undefined values."""
    out_shape, lse_shape = problem.stored_shapes
    out = inputs.query.new_empty(out_shape, dtype=problem.out_dtype)
    return Output(out, out.new_empty(lse_shape, dtype=problem.sum_dtype) if problem.wants_lse else None)
