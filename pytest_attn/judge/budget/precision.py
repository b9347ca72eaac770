"""What a precision comes to: how far its roundings, and the functions of a kernel that computes in it, may be off."""

from __future__ import annotations

import math

import torch

from pytest_attn.kernels.numerics import Numerics
from pytest_attn.kernels.precision import dtype_of
from pytest_attn.problem.problem import Problem

ROUNDING_RMS = math.sqrt(3 / (24 * math.log(2)))
"""Relative RMS error of rounding to nearest, in unit roundoffs, for log-uniform mantissas: 0.425.

A mantissa m in [1, 2) of log-uniform density 1 / (m ln 2) is off by a uniform error of RMS u / sqrt(3), so the mean
square of the relative error is u^2 / 3 times the mean of m^-2, which is 3 / (8 ln 2)."""

ROUNDING_SQUARE = ROUNDING_RMS**2


def unit_roundoff(dtype: torch.dtype) -> float:
    """Half the distance from 1 to the next number."""
    return torch.finfo(dtype).eps / 2


def smallest_spacing(dtype: torch.dtype) -> float:
    """The distance of 0 to the next number: that of all subnormal numbers."""
    return float(torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps)


def precision(name: str | None, problem: Problem) -> torch.dtype:
    """The precision that a declaration names: None is that of sums, "input" that of query, key and value."""
    if name is None:
        return problem.sum_dtype
    return problem.dtype if name == "input" else dtype_of(name)


def variance_of(name: str | None, problem: Problem) -> float:
    """(c u)^2 of rounding to the precision that a declaration names."""
    return float(ROUNDING_SQUARE * unit_roundoff(precision(name, problem)) ** 2)


def is_stored(name: str | None, problem: Problem) -> bool:
    """Whether what a declaration names is rounded when it is stored, and not kept in the precision of sums."""
    return name == "input" or precision(name, problem) != problem.sum_dtype


def values_unit(problem: Problem, numerics: Numerics) -> float:
    """u_v of values that are rounded before their product; 0 where they keep all bits of the inputs."""
    unit = unit_roundoff(precision(numerics.values, problem))
    return unit if unit > unit_roundoff(problem.dtype) else 0.0


def split_unit(problem: Problem, numerics: Numerics) -> float:
    """u_m of the results of parts before they are merged; 0 where they stay as sums are kept."""
    return unit_roundoff(precision(numerics.split_parts, problem)) if numerics.split_parts is not None else 0.0


def stored_lse_unit(problem: Problem, numerics: Numerics) -> float:
    """u_e of an LSE that is rounded before it is returned; 0 where it stays as it is returned."""
    unit = unit_roundoff(precision(numerics.stored_lse, problem))
    return unit if unit > unit_roundoff(problem.sum_dtype) else 0.0


def exp_error(problem: Problem, numerics: Numerics) -> float:
    """The largest relative error of the exponential."""
    return problem.data_type.exp_error if numerics.exp_error is None else numerics.exp_error


def tanh_error(problem: Problem, numerics: Numerics) -> float:
    """The largest relative error of the hyperbolic tangent; 0 where no variant takes one."""
    if not any("tanh" in variant.functions for variant in problem.variants):
        return 0.0
    return problem.data_type.tanh_error if numerics.tanh_error is None else numerics.tanh_error
