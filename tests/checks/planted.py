"""Verdicts on kernels, most with a bug planted into the correct tile loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

from pytest_attn.execution.cell import Cell
from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.resolve import BUILT_IN
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.records.record import Record
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

# Written down, not asked of the kernels: one that loses a claim fails the test of what it claimed.
GROUPED = (
    *("eager", "sdpa", "block_sparse", "naive", "gqa", "masked"),
    *("flex", "split_kv_decode", "sliding_window", "kv_cache_decode"),
)
"""The built-in kernels that claim any number of key heads, and keys of another number than queries."""

GROUPED_CAUSAL = tuple(name for name in GROUPED if name != "block_sparse")
"""Those that also claim a causal mask that ends with the last key."""

GROUPED_TOP_LEFT = tuple(name for name in GROUPED_CAUSAL if name != "sliding_window")
"""Those that also claim a causal mask that starts with the first key."""

BLOCKWISE = ("eager", "block_sparse", "naive", "masked", "flex")
"""The built-in kernels that claim a mask of blocks; any number of key heads too."""


def cell_of(implementation: Any, case: Case, **claims: Any) -> Cell:
    """A kernel with the capabilities of the tile loop, but for `claims`, on a case."""
    kernel = Kernel("planted", implementation, replace(TileLoop.capabilities, **claims))
    return Session(Options()).cell(kernel, case)


def verdict_on(implementation: Any, case: Case, **claims: Any) -> Verdict:
    """The verdict of the check that the case names."""
    return cell_of(implementation, case, **claims).judge()


def relation_on(implementation: Any, case: Case, **claims: Any) -> Verdict:
    """The verdict of the relation that the case names, whatever the kernel's result is by itself."""
    with patch("pytest_attn.checks.check.value", lambda subject: Verdict(())):
        return verdict_on(implementation, case, **claims)


def record_of(name: str, case: Case) -> Record:
    """The record of a built-in kernel on a case."""
    return Session(Options()).cell(name, case).record()


def claiming(case: Case) -> tuple[str, ...]:
    """The built-in kernels that a case, with what it asks for besides, is run by on a CPU."""
    session = Session(Options())
    return tuple(name for name in BUILT_IN if session.cell(name, case).skipped() is None)


def named(value: Case | str) -> str:
    """What stands for a value in the name of a test."""
    return value.id if isinstance(value, Case) else value
