"""Logits that are too large for the precision that a kernel declares: what is left of them is rounding."""

from __future__ import annotations

import torch

from pytest_attn.kernels.numerics import Numerics
from pytest_attn.kernels.precision import dtype_of
from pytest_attn.problem.problem import Problem

LOST = "logits as large as these are lost in the precision that it declares"

MOST_ERROR = 0.25
"""The relative error of a weight from which on a budget says nothing: its logit is off by as much."""

ROUNDING = 0.425
"""Relative RMS error of rounding to nearest, in unit roundoffs."""

TF32 = 2.0**-11
"""The unit roundoff of TF32."""


def loses_logits(problem: Problem, numerics: Numerics, size: float) -> bool:
    """Whether scaled logits of that size overflow in what they are stored or summed in, or are off by a quarter."""
    product = size / min(abs(problem.scale), 1.0)
    stored = [
        *((name, product) for name in (numerics.unscaled_logits, numerics.accumulator)),
        *((name, size) for name in (numerics.scale, numerics.scaled_query, numerics.logits)),
    ]
    found = [(torch.finfo(_dtype(problem, name)), largest) for name, largest in stored if name is not None]
    units = [precision.eps / 2 for precision, _ in found]
    if numerics.products != "input" and torch.finfo(problem.dtype).eps < 2 * TF32:
        units.append(TF32)
    overflows = any(precision.max < largest for precision, largest in found)
    return size > 0 and (overflows or ROUNDING * max(units, default=0.0) * size > MOST_ERROR)


def _dtype(problem: Problem, name: str) -> torch.dtype:
    return problem.dtype if name == "input" else dtype_of(name)
