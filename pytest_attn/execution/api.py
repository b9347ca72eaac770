"""Judging a kernel without pytest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel, as_kernel
from pytest_attn.options.options import options_of
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.records.record import Record

DIAGNOSIS_SECONDS = 60.0
"""Time that one process spends on diagnoses; where everything fails, the first ones say as much as all."""

INPUTS_KEPT = 2
"""Input sets kept in memory; the cells of one shape follow each other."""


def check_kernel(kernel: Any, sweep: str = "smoke", **options: Any) -> list[Record]:
    """Judge a kernel, or the name of one, on a sweep, without pytest; one record per cell.

    Further keywords are the options of the command line, with their natural values, or with the texts that they have
    there: `device="cuda"`, `budget=None`, `axis={"dtype": ["float32"]}`, `case=Case(...)`, `overclaim=True`. Raises
    ValueError naming the argument and its value as they were written, and what is allowed.
    """
    asked = options_of({"sweep": sweep, **options})
    if not isinstance(kernel, str):
        kernel = as_kernel(kernel, str(getattr(kernel, "name", getattr(kernel, "__name__", "kernel"))))
    session = Session(asked, Path(asked.cache) if asked.cache not in ("on", "off") else None)
    cells = [case for name in asked.sweeps for case in find_sweep(name) if asked.keeps(name, case)]
    return list(judged(kernel, asked.case or cells, session))


def judged(kernel: str | Kernel, cases: Iterable[Case], session: Session) -> Iterator[Record]:
    """The record of every case, in order."""
    for case in cases:
        yield session.cell(kernel, case).record()
