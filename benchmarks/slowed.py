"""A kernel that does more of its own work: `--attn-kernel=benchmarks/slowed.py:sdpa` with ATTN_SLOWED=0.10.

The work is done again for the last query rows of every head, as many as take the wanted share of the whole on this
machine; both are timed before, in the process that uses them. ATTN_SLOWED_LOG names a file that takes a JSON line for
each preparation: `case` by its shapes, the `nominal` share and the `measured` one. Without ATTN_SLOWED the kernel is as
it was.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_attn.kernels.builtin.sdpa import sdpa as clean
from pytest_attn.kernels.kernel import Kernel, Run
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

REPEATS = 5
"""Of each work that is timed."""

STEPS = 7
"""Halvings of the range of rows."""


class Slowed:
    """The built-in `sdpa`, slower by a share that is measured."""

    def __init__(self) -> None:
        self._rows: dict[Hashable, int] = {}
        """By problem and share, found once in a process."""

    def prepare(self, problem: Problem, inputs: Inputs) -> Run:
        """The whole and, where a share is asked for, the last rows again."""
        whole = clean.prepare(problem, inputs)
        share = float(os.environ.get("ATTN_SLOWED", "0"))
        if not share:
            return whole
        key = (problem.out_shape, problem.key_heads, problem.key_length, problem.dtype, problem.mask.key, share)
        if key not in self._rows:
            self._rows[key] = _rows_of(problem, inputs, whole, share)
        again = _last_rows(problem, inputs, self._rows[key])
        _log(problem, share, _by_turns(again, whole))

        def run() -> Any:
            again()
            return whole()

        return run


def _rows_of(problem: Problem, inputs: Inputs, whole: Run, share: float) -> int:
    """The rows whose measured share comes nearest, by halving: more rows never take less time but for noise."""
    low, high = 1, problem.query_length
    tried: list[tuple[float, int]] = []
    for _ in range(STEPS):
        rows = (low + high) // 2
        measured = _by_turns(_last_rows(problem, inputs, rows), whole)
        tried.append((abs(measured - share), rows))
        low, high = (rows, high) if measured < share else (low, rows)
    return min(tried)[1]


def _last_rows(problem: Problem, inputs: Inputs, rows: int) -> Run:
    fewer = replace(problem, query_length=rows)
    return clean.prepare(fewer, replace(inputs, query=inputs.query[:, :, -rows:].contiguous()))


def _by_turns(part: Run, whole: Run) -> float:
    ratios = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        part()
        middle = time.perf_counter()
        whole()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return statistics.median(ratios)


def _log(problem: Problem, nominal: float, measured: float) -> None:
    path = os.environ.get("ATTN_SLOWED_LOG")
    if path:
        shapes = [*problem.out_shape, problem.key_heads, problem.key_length, str(problem.dtype), problem.mask.key]
        with Path(path).open("a") as lines:
            lines.write(json.dumps({"case": shapes, "nominal": nominal, "measured": measured}) + "\n")


sdpa = Kernel("slowed", Slowed(), clean.capabilities, clean.numerics, clean.empty_rows)
