"""How well declarations explain red cells: `declaration_fills.py [FILE:KERNEL ...] [--mutants] [--every 20]`.

Each kernel is judged as if it declared nothing of its arithmetic, and each red cell under every candidate of
`pytest_attn.diagnosis.candidates`; a line of JSON for each cell and each candidate under which it is right, with the
fills that `LEAST_FILL` and `LEAST_LSE_FILL` of `pytest_attn.diagnosis.declarations` are limits of. `own`: whether the
kernel is right on the cell under what it does declare. `--mutants` does the same with every planted bug.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace

from pytest_attn.checks.subject import Subject
from pytest_attn.diagnosis.declarations import Fit, fits
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.execution.cell import Cell
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.options.options import options_of
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.selfcheck.mutants.catalog import mutants
from pytest_attn.selfcheck.mutants.tile_loop import tile_loop

SWEEPS = ("smoke", "boundary", "core", "decode", "backward")


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernels", nargs="*")
    parser.add_argument("--mutants", action="store_true", help="the planted bugs, too")
    parser.add_argument("--every", type=int, default=20, help="take one claimed cell of so many")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of one kernel")
    parser.add_argument("--budget", type=float, default=0.5, help="GFLOP of a cell at most")
    asked = parser.parse_args()
    session = Session(options_of({"budget": asked.budget}))
    kernels = [(kernel, replace(kernel, numerics=Numerics())) for kernel in map(find_kernel, asked.kernels)]
    if asked.mutants:
        # A planted bug declares what its tile loop does, and has nothing to add.
        planted = [replace(tile_loop(mutant.kernel), name=f"{mutant.planted}: {mutant.name}") for mutant in mutants()]
        kernels += [(kernel, kernel) for kernel in planted]
    for declared, bare in kernels:
        started = time.monotonic()
        for cell in _cells(session, bare, asked.every):
            if time.monotonic() - started > asked.seconds:
                break
            for line in _lines(session, declared, cell):
                print(json.dumps(line), flush=True)


def _cells(session: Session, kernel: Kernel, every: int) -> Iterator[Cell]:
    cases = [(case, sweep) for sweep in SWEEPS for case in find_sweep(sweep)]
    # In no order, so that what a limit of time leaves out is of all kinds.
    random.Random(0).shuffle(cases)
    for case, sweep in cases[::every]:
        cell = session.cell(kernel, case, sweep)
        if cell.skipped() is None:
            yield cell


def _lines(session: Session, declared: Kernel, cell: Cell) -> Iterator[dict[str, object]]:
    verdict = cell.judge()
    if verdict.passed:
        return
    own = session.cell(declared, cell.case).judge().passed
    found = list(_fits(cell.subject, verdict))
    head = {"kernel": declared.name, "case": cell.case.id, "own": own, "red": [each.what for each in verdict.findings]}
    for fit in found:
        yield head | {
            "candidate": fit.candidate.written,
            "fill": round(fit.fill, 3),
            "typical": round(fit.typical, 3),
            "lse_fill": round(fit.lse_fill, 3),
            "typical_lse": round(fit.typical_lse, 3),
            "surprise": round(fit.surprise, 4),
        }
    if not found:
        yield head


def _fits(subject: Subject, verdict: object) -> Iterator[Fit]:
    yield from fits(Evidence(subject, verdict, TimeBox(60.0)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
