"""What the diagnosis makes of each mutant, on the cells that kill it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

import torch

from pytest_attn.diagnosis.diagnose import diagnose
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.execution.session import Session
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.report.kills import KillMatrix
from pytest_attn.selfcheck.mutants.mutant import Mutant
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop, tile_loop

SECONDS = 30.0
"""For each cell: what is named must not depend on how busy the machine is."""


class Killed(NamedTuple):
    """A mutant and the ids of the cells that kill it, one of each test."""

    kernel: type[TileLoop]
    cases: tuple[str, ...]


def diagnosed(matrix: KillMatrix, mutants: Sequence[Mutant], workers: int | None = None) -> KillMatrix:
    """The matrix with the kind of bug that is named most often on the cells that kill each mutant.

    `workers` are single-threaded processes, one per core by default; 1 works in this process.
    """
    kernels = {mutant.name: mutant.kernel for mutant in mutants}
    killed = [
        Killed(kernels[fate.mutant], tuple(dict.fromkeys(kill.case for kill in fate.kills.values())))
        for fate in matrix.fates
    ]
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        named = list(map(most_named, killed))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            named = list(pool.map(most_named, killed))
    fates = [replace(fate, diagnosis=kind) for fate, kind in zip(matrix.fates, named, strict=True)]
    return replace(matrix, fates=tuple(fates))


def most_named(killed: Killed) -> str:
    """The kind that is named most often, the first of equals; empty where none is named on any cell."""
    session = Session(Options())
    counts = Counter(filter(None, (named(session, killed.kernel, Case.parse(case)) for case in killed.cases)))
    return counts.most_common(1)[0][0] if counts else ""


def named(session: Session, kernel: type[TileLoop], case: Case) -> str:
    """The kind of bug that is named for a fresh kernel on a case; empty where none is."""
    cell = session.cell(tile_loop(kernel), case)
    found = diagnose(cell.subject, cell.judge(), TimeBox(SECONDS))
    return found.kind if found else ""
