"""Data types that a kernel claims."""

from __future__ import annotations

from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem

DOUBLE = Problem.of(Case(16, 16, dtype="float64", ask="out"))


def test_float64_is_claimed_by_name_alone() -> None:
    assert Capabilities().why_not(DOUBLE, "cpu", "contiguous") is not None
    assert Capabilities(dtypes=("float32", "float64")).why_not(DOUBLE, "cpu", "contiguous") is None
