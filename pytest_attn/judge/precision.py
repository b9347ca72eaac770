"""Precisions by the names that `Numerics` gives them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem import tf32
from pytest_attn.problem.problem import TORCH_DTYPES, Problem


def unit_roundoff(dtype: torch.dtype) -> float:
    """Half the distance from 1 to the next number."""
    return torch.finfo(dtype).eps / 2


@dataclass(frozen=True, slots=True)
class Precision:
    """A floating-point format: `unit`, its unit roundoff, and the dtype whose exponents it has."""

    dtype: torch.dtype
    unit: float

    @staticmethod
    def of(name: str, problem: Problem) -> Precision:
        """Of a name in `Numerics`; float32 is float64 for inputs of that, as nothing is summed in less than it came."""
        dtype = problem.dtype if name == "input" else problem.sum_dtype if name == "float32" else TORCH_DTYPES[name]
        return Precision(dtype, unit_roundoff(dtype))

    @staticmethod
    def of_operand(name: str, problem: Problem, numerics: Numerics) -> Precision:
        """Of what is stored under a name and then an operand of a product."""
        found = Precision.of(name, problem)
        if numerics.products == "tf32" and found.unit < tf32.UNIT_ROUNDOFF:
            return Precision(torch.float32, tf32.UNIT_ROUNDOFF)
        return found

    @property
    def grid(self) -> float:
        """The distance of its subnormal numbers."""
        return float(torch.finfo(self.dtype).smallest_normal * 2 * self.unit)

    def rounded(self, tensor: Tensor) -> Tensor:
        """The nearest numbers of this format, in the tensor's own dtype."""
        if self.unit > unit_roundoff(self.dtype):
            return tf32.to_tf32(tensor)
        return tensor.to(self.dtype).to(tensor.dtype)
