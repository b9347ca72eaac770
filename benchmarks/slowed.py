"""A kernel that does more of its own work: `--attn-kernel=benchmarks/slowed.py:sdpa` with ATTN_SLOWED=0.10.

The work is done again for the last query rows of every head, as many as make the whole slower by the wanted share on
this machine: the slowed kernel is timed beside the plain one, each in blocks that follow a matmul, as the benchmark
times them. ATTN_SLOWED_LOG names a file that takes a JSON line for each preparation: `case` by its shapes, the
`nominal` share and the `measured` one; the rows that were found are kept beside it, for the processes that follow.
Without ATTN_SLOWED the kernel is as it was.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pytest_attn.kernels.builtin.sdpa import sdpa as clean
from pytest_attn.kernels.kernel import Kernel, PreparedRun
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

SEARCHED = 25
"""Pairs of blocks that are timed for each number of rows that is tried."""

LOGGED = 5
"""Pairs of blocks that are timed at each preparation; there are many."""

STEPS = 7
"""Halvings of the range of rows."""

BLOCK_SECONDS = 5e-3
ROWS = "rows.json"


class Slowed:
    """The built-in `sdpa`, slower by a share that is measured."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        """By problem and share."""

    def prepare(self, problem: Problem, inputs: Inputs) -> PreparedRun:
        """The whole and, where a share is asked for, the last rows again."""
        whole = clean.prepare(problem, inputs)
        share = float(os.environ.get("ATTN_SLOWED", "0"))
        if not share:
            return whole
        slowed = _slowed(problem, inputs, whole, self._known_rows(problem, inputs, whole, share))
        _log(problem, share, _share(slowed, whole, LOGGED))
        return slowed

    def _known_rows(self, problem: Problem, inputs: Inputs, whole: PreparedRun, share: float) -> int:
        """The rows for a problem and a share, found once: in this process, or in all that log to one folder."""
        log = os.environ.get("ATTN_SLOWED_LOG")
        path = Path(log).with_name(ROWS) if log else None
        if path and path.is_file():
            self._rows |= json.loads(path.read_text())
        key = json.dumps([*_shapes(problem), share])
        if key not in self._rows:
            self._rows[key] = _rows_of(problem, inputs, whole, share)
            if path:
                path.write_text(json.dumps(self._rows))
        return self._rows[key]


def _rows_of(problem: Problem, inputs: Inputs, whole: PreparedRun, share: float) -> int:
    """The rows whose measured share comes nearest, by halving: more rows never take less time but for noise."""
    low, high = 1, problem.query_length
    tried: list[tuple[float, int]] = []
    for _ in range(STEPS):
        rows = (low + high) // 2
        measured = _share(_slowed(problem, inputs, whole, rows), whole, SEARCHED)
        tried.append((abs(measured - share), rows))
        low, high = (rows, high) if measured < share else (low, rows)
    return min(tried)[1]


def _slowed(problem: Problem, inputs: Inputs, whole: PreparedRun, rows: int) -> PreparedRun:
    again = _last_rows(problem, inputs, rows)

    def run() -> Any:
        again()
        return whole()

    return run


def _last_rows(problem: Problem, inputs: Inputs, rows: int) -> PreparedRun:
    fewer = replace(problem, query_length=rows)
    return clean.prepare(fewer, replace(inputs, query=inputs.query[:, :, -rows:].contiguous()))


def _share(slowed: PreparedRun, whole: PreparedRun, pairs: int) -> float:
    """By how much the slowed kernel is slower, the median over pairs of blocks."""
    matrix = torch.ones(512, 512)
    product = torch.empty_like(matrix)
    whole()
    start = time.perf_counter()
    whole()
    calls = math.ceil(BLOCK_SECONDS / (time.perf_counter() - start))

    def block(run: PreparedRun) -> float:
        torch.mm(matrix, matrix, out=product)
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return time.perf_counter() - start

    ratios = []
    for number in range(pairs):
        first, second = (slowed, whole) if number % 2 else (whole, slowed)
        times = block(first), block(second)
        ratios.append(times[0] / times[1] if number % 2 else times[1] / times[0])
    return statistics.median(ratios) - 1


def _log(problem: Problem, nominal: float, measured: float) -> None:
    path = os.environ.get("ATTN_SLOWED_LOG")
    if path:
        with Path(path).open("a") as lines:
            lines.write(json.dumps({"case": _shapes(problem), "nominal": nominal, "measured": measured}) + "\n")


def _shapes(problem: Problem) -> list[object]:
    return [*problem.out_shape, problem.key_heads, problem.key_length, str(problem.dtype), str(problem.mask.key)]


sdpa = Kernel("slowed", Slowed(), clean.capabilities, clean.numerics, clean.empty_rows)
