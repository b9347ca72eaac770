"""One kernel on every Nth cell of the sweeps that it claims: `judge.py FILE:KERNEL [--every 10] [--undeclared]`.

Prints the red cells with what the judge and the diagnosis say, and how many cells passed and failed in each sweep.
`--undeclared` judges the kernel as if it declared nothing of its arithmetic. The numbers of the table in
docs/third-party.md are those of this script; `--seconds` ends a sweep early, and the line says so.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from pytest_attn.execution.cell import Cell
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.options.options import options_of

SWEEPS = ("smoke", "boundary", "core", "decode", "backward")


def main() -> int:
    """0 where every cell passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernel", help="FILE:KERNEL, or a built-in")
    parser.add_argument("--every", type=int, default=10, help="take one cell of so many; smoke is taken whole")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of one sweep")
    parser.add_argument("--budget", type=float, default=2.0, help="GFLOP of a cell at most")
    parser.add_argument("--undeclared", action="store_true", help="judge it under Numerics()")
    parser.add_argument("--sweep", nargs="*", default=SWEEPS)
    asked = parser.parse_args()
    kernel = find_kernel(asked.kernel)
    if asked.undeclared:
        kernel = replace(kernel, numerics=Numerics())
    session, failed = Session(options_of({"budget": asked.budget})), 0
    for sweep in asked.sweep:
        cells = list(_cells(session, kernel, sweep))[:: 1 if sweep == "smoke" else asked.every]
        counts, started = Counter[str](), time.monotonic()
        for cell in cells:
            if time.monotonic() - started > asked.seconds:
                break
            record = cell.record()
            counts[record.outcome] += 1
            if record.outcome == "failed":
                print(f"  {record.case}: {record.reason}", flush=True)
        failed += counts["failed"]
        left = len(cells) - counts.total()
        seconds = f"{time.monotonic() - started:.0f} s" + (f", {left} cells left" if left else "")
        print(f"{sweep}: {counts['passed']} passed, {counts['failed']} failed, {seconds}", flush=True)
    return int(failed > 0)


def _cells(session: Session, kernel: Kernel, sweep: str) -> Iterator[Cell]:
    for case in session.sweep(sweep, kernel):
        cell = session.cell(kernel, case, sweep)
        if cell.skipped() is None:
            yield cell


if __name__ == "__main__":
    raise SystemExit(main())
