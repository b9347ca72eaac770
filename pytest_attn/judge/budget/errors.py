"""The error that a result may show against its reference: that of the kernel, and that of the reference itself.

A reference is one precision above the inputs, and its own rounding is nothing beside theirs. Of float64 there is none
above: the streaming oracle is then one more kernel, of the numerics below, and the difference of two results whose
errors are independent has the sum of their variances.
"""

from __future__ import annotations

import torch

from pytest_attn.judge.budget.budget import Budget
from pytest_attn.judge.budget.gradient_rounding import gradient_budget
from pytest_attn.judge.budget.rounding import budget
from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.oracles.reference import Reference
from pytest_attn.oracles.slabs import TILE_KEYS
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem


def allowed_error(problem: Problem, inputs: Inputs, reference: Reference, numerics: Numerics) -> Budget:
    """The budget of the difference between what a kernel of these numerics returns and the reference: of its output and
    LSE, or of its gradients."""
    derive = gradient_budget if problem.wants_grad else budget
    own = derive(problem, inputs, reference, numerics)
    if problem.oracle_dtype.itemsize > problem.dtype.itemsize:
        return own
    return own.plus(derive(problem, inputs, reference, oracle_numerics(problem)))


def oracle_numerics(problem: Problem) -> Numerics:
    """The arithmetic of the streaming oracle and of the exact gradients, all in the precision of the reference."""
    wide, last_place = problem.data_type.oracle, torch.finfo(problem.oracle_dtype).eps
    return Numerics(
        probabilities=wide,
        logits=wide,
        accumulator=wide,
        # exp2 of torch, and the product with log2(e) before it.
        exp_error=2 * last_place,
        tanh_error=2 * last_place,
        # A tile of keys, which BLAS adds in one chain where it is float64.
        chain=TILE_KEYS,
        backward=BackwardNumerics(score_gradients=wide, grouped_gradients=wide),
    )
