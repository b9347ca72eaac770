"""Judging a kernel without pytest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_attn.execution.cell import Cell
from pytest_attn.execution.origin import run_start
from pytest_attn.execution.requirement import required
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel, as_kernel
from pytest_attn.kernels.naming import spec_of
from pytest_attn.options.options import Options, options_of
from pytest_attn.problem.case import Case
from pytest_attn.records.declared import Declared
from pytest_attn.records.document import DocumentFile
from pytest_attn.records.record import Record
from pytest_attn.records.run import RunEnd, now


def check_kernel(kernel: Any, sweep: str = "smoke", **options: Any) -> list[Record]:
    """Judge a kernel, or the name of one, on a sweep, without pytest; one record per cell.

    Further keywords are the options of the command line, with their natural values, or with the texts that they have
    there: `device="cuda"`, `budget=None`, `axis={"dtype": ["float32"]}`, `case=Case(...)`, `overclaim=True`. Raises
    ValueError naming the argument and its value as they were written, and what is allowed.
    """
    asked = options_of({"sweep": sweep, **options})
    if asked.fewest_judged:
        raise ValueError(f"require={options['require']!r}: a number is of a run of pytest; allowed: here, claimed")
    session = Session(asked, Path(asked.cache) if asked.cache not in ("on", "off") else None)
    named = _named(kernel)
    sweeps = () if asked.case else asked.sweeps
    cells = [(name, case) for name in sweeps for case in session.sweep(name, named) if asked.keeps(name, case)]
    if asked.axis and not cells:
        raise ValueError(f"axis={options['axis']!r}: no cell has all of these values; allowed: values of claimed cells")
    swept = (_record(session.cell(named, case, name)) for name, case in cells)
    found = judged(named, asked.case, session) if asked.case else swept
    if asked.output is None:
        return list(found)
    declared = session.declared(named)
    return list(_written(found, declared, asked, Path(asked.output)))


def judged(kernel: str | Kernel, cases: Iterable[Case], session: Session) -> Iterator[Record]:
    """The record of every case, in order."""
    return (_record(session.cell(kernel, case)) for case in cases)


def _record(cell: Cell) -> Record:
    skipped = cell.skipped()
    return required(skipped, cell.session) if skipped else cell.record()


def _written(records: Iterable[Record], declared: Declared, asked: Options, folder: Path) -> Iterator[Record]:
    """The same records, each in the document of a run when it is known."""
    file = DocumentFile(folder)
    file.write(run_start(asked, ("pytest_attn.check_kernel",), Path.cwd()))
    file.write(declared)
    failed = 0
    for record in records:
        file.write(record)
        failed += record.outcome == "failed"
        yield record
    file.write(RunEnd(ended=now(), complete=True, status=int(failed > 0), failed=failed))
    file.close()


def _named(kernel: Any) -> str | Kernel:
    """The name of a kernel, or the kernel itself under the name that finds it again."""
    if isinstance(kernel, str):
        return kernel
    try:
        return as_kernel(kernel, spec_of(kernel))
    except ValueError as error:
        raise ValueError(f"check_kernel: {error}") from None
