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


class Named(NamedTuple):
    """The kind of bug that is named most often, empty where none is, and the cells of which nothing is said."""

    kind: str
    unnamed: tuple[str, ...]


def diagnosed(matrix: KillMatrix, mutants: Sequence[Mutant], workers: int | None = None) -> KillMatrix:
    """The matrix with the kind of bug that is named most often on the cells that kill each mutant, and those of which
    nothing is said.

    `workers` are single-threaded processes, one per core by default; 1 works in this process.
    """
    kernels = {mutant.name: mutant.kernel for mutant in mutants}
    killed = [Killed(kernels[fate.mutant], fate.cells) for fate in matrix.fates]
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        found = list(map(most_named, killed))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            found = list(pool.map(most_named, killed))
    fates = [
        replace(fate, diagnosis=named.kind, unnamed=named.unnamed)
        for fate, named in zip(matrix.fates, found, strict=True)
    ]
    return replace(matrix, fates=tuple(fates))


def most_named(killed: Killed) -> Named:
    """What is named on the cells that kill a mutant; of kinds named equally often, the first."""
    session = Session(Options())
    kinds = {case: named(session, killed.kernel, Case.parse(case)) for case in killed.cases}
    counts = Counter(filter(None, kinds.values()))
    unnamed = tuple(case for case, kind in kinds.items() if not kind)
    return Named(counts.most_common(1)[0][0] if counts else "", unnamed)


def named(session: Session, kernel: type[TileLoop], case: Case) -> str:
    """The kind of bug that is named for a fresh kernel on a case; empty where none is."""
    cell = session.cell(tile_loop(kernel), case)
    found = diagnose(cell.subject, cell.judge(), TimeBox(SECONDS))
    return found.kind if found else ""
