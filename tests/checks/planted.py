"""Verdicts on kernels, most with a bug planted into the correct tile loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_attn.execution.cell import Cell
from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.resolve import BUILT_IN, find_kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.records.record import Record
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop


def cell_of(implementation: Any, case: Case, **claims: Any) -> Cell:
    """A kernel with the capabilities of the tile loop, but for `claims`, on a case."""
    kernel = Kernel("planted", implementation, replace(TileLoop.capabilities, **claims))
    return Session(Options()).cell(kernel, case)


def verdict_on(implementation: Any, case: Case, **claims: Any) -> Verdict:
    """The verdict of the check that the case names."""
    return cell_of(implementation, case, **claims).judge()


def record_of(name: str, case: Case) -> Record:
    """The record of a built-in kernel on a case."""
    return Session(Options()).cell(name, case).record()


def claiming(case: Case) -> list[str]:
    """The built-in kernels that claim a case on a CPU."""
    problem = Problem.of(case)
    return [name for name in BUILT_IN if find_kernel(name).capabilities.why_not(problem, "cpu") is None]
