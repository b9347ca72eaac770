"""Products whose operands are rounded to the ten bits of TF32 before they are multiplied.

Let u_o be the unit roundoff of an operand, 2^-11, or 2^-10 where it is cut off: cutting spreads evenly over twice the
width, which is all that differs in mean square. Its mean is not 0 then, but m = -2^-11 / (2 ln 2) of the operand.

- A logit has an error of (c u_o)^2 2 sum_d (scale q_d k_d)^2 from both operands; its mean under p^2, X_i, is measured
  (`pytest_attn.judge.budget.logit_products`).
- The rounding of q is one for all keys of a row. It moves the LSE by (c u_o)^2 Y_i beside what averages out, with Y_i =
  sum_d (scale q_d sum_j p_j k_jd)^2.
- The weights are rounded to u_o where they were not coarser, and values add (c u_o)^2 A to the variance of the output
  and u_o sum_j p_j |v_j| to its bound. Equal values, of which there are r_v alike, share their errors.
- Cut off, logits are s (1 - 2 m), and so are sums of values: both are in the variance, and systematic. Weights of
  smaller logits are more even, which takes at most another 2 m |s| of an output that few keys carry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

TF32 = 2.0**-11
"""The unit roundoff of TF32, whose mantissas have 10 bits and the leading one."""


@dataclass(frozen=True, slots=True)
class OperandRounding:
    """Relative errors of an operand: `unit` u_o and `mean` m; both 0 where its type has no more bits."""

    unit: float = 0.0
    mean: float = 0.0

    @staticmethod
    def of(problem: Problem, numerics: Numerics) -> OperandRounding:
        """Of query, key and value, and of what is multiplied with them."""
        if numerics.products == "input" or torch.finfo(problem.dtype).eps >= 2 * TF32:
            return OperandRounding()
        return OperandRounding(TF32) if numerics.products == "tf32" else OperandRounding(2 * TF32, TF32 / math.log(4))

    @staticmethod
    def of_weights(numerics: Numerics, unit: float) -> float:
        """The unit roundoff of weights that are rounded to `unit` and then multiplied."""
        if numerics.products == "input":
            return unit
        return max(unit, TF32 if numerics.products == "tf32" else 2 * TF32)


def alike_values(problem: Problem, inputs: Inputs) -> Tensor:
    """r_v `[B, Hq]`: how often a value vector occurs, on average."""
    found = torch.ones(problem.batch, problem.query_heads, dtype=torch.float64)
    for batch in range(problem.batch):
        for head in range(problem.key_heads):
            value = inputs.value[batch, head].cpu()
            own = slice(head * problem.group, (head + 1) * problem.group)
            found[batch, own] = len(value) / len(torch.unique(value, dim=0))
    return found
