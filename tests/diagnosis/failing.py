"""Kernels with a planted bug, failed and diagnosed."""

from __future__ import annotations

from pytest_attn.diagnosis.diagnose import diagnose
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.execution.cell import Cell
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop, tile_loop

PLENTY = 120.0
"""Seconds: what a diagnosis finds must not depend on how busy the machine is."""


def failed_cell(kernel: type[TileLoop] | Kernel, case: str) -> Cell:
    """A kernel on a case of this id."""
    return Session(Options()).cell(kernel if isinstance(kernel, Kernel) else tile_loop(kernel), Case.parse(case))


def diagnosis_of(kernel: type[TileLoop] | Kernel, case: str) -> Diagnosis | None:
    """What the diagnosis says of a kernel that fails a case."""
    cell = failed_cell(kernel, case)
    verdict = cell.judge()
    assert not verdict.passed
    return diagnose(cell.subject, verdict, TimeBox(PLENTY))


def phrase_of(kernel: type[TileLoop] | Kernel, case: str) -> str:
    """The phrase of the diagnosis."""
    found = diagnosis_of(kernel, case)
    assert found is not None
    return found.phrase
