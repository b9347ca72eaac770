"""What correct kernels show of the error that their budget expects.

    python benchmarks/calibration.py [--quick] [--grad] [--kernel NAME ...] [--recipe NAME ...]
                                     [--dtype NAME ...]

A row per kernel, dtype and kind of mask, over lengths from 64 to 24000 and head dimensions from 32 to 256: lowest and
highest RMS of error / sigma, and the largest share of its limit that each statistic reached. At 1 a correct kernel
would be red. With --grad, the three gradients together, up to 2048 tokens.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from pytest_attn.execution.session import Session
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.dtypes import data_types
from pytest_attn.records.record import Record

KERNELS = ("eager", "sdpa", "block_sparse")
LENGTHS = ((64, 64), (500, 500), (2048, 2048), (1000, 8192), (512, 24000))
HEAD_DIMS = (32, 64, 128, 256)
SHARES = ("row_rms_share", "largest_share", "rms_share", "bias_share", "lse_share")
RESULTS = ("out", "dq", "dk", "dv")


def cases(kind: str, recipe: str, quick: bool, ask: str) -> Iterator[Case]:
    """The cases of one kind of mask, every length with every head dimension."""
    for (queries, keys), dim in product(LENGTHS[:3] if quick else LENGTHS, HEAD_DIMS):
        case = Case(queries, keys, head_dim=dim, query_heads=2, recipe=recipe, ask=ask)  # type: ignore[arg-type]
        if kind == "causal":
            case = replace(case, causal="bottom-right")
        if kind == "sparse":
            case = replace(case, sparsity=0.5, block_shape=(64, 64) if keys < 2000 else (128, 128))
        if not case.unsatisfiable:
            yield case


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="lengths up to 2048")
    parser.add_argument("--grad", action="store_true", help="of gradients")
    parser.add_argument("--kernel", action="append")
    parser.add_argument("--recipe", action="append")
    parser.add_argument("--dtype", action="append")
    asked = parser.parse_args()
    quick, ask = asked.quick or asked.grad, "grad" if asked.grad else "both"
    print(f"{'kernel':30}{'dtype':10}{'mask':8}{'recipe':12}{'cells':>6}{'RMS of error/sigma':>20}", *SHARES, "red")
    for recipe, kernel, dtype, kind in product(
        asked.recipe or ["normal"], asked.kernel or KERNELS, asked.dtype or data_types(), ("dense", "causal", "sparse")
    ):
        session = Session(Options(budget=float("inf")))
        made = [session.cell(kernel, replace(case, dtype=dtype)).record() for case in cases(kind, recipe, quick, ask)]
        ran = [record for record in made if record.ran]
        if ran:
            print(f"{kernel:30}{dtype:10}{kind:8}{recipe:12}{row(ran)}", flush=True)
            for record in ran:
                if record.outcome == "failed":
                    print(f"    {record.case}: {record.reason}")


def row(records: list[Record]) -> str:
    """Extremes of the figures over some records."""
    rms = [record.figures[f"{of}_rms"] for record in records for of in RESULTS if f"{of}_rms" in record.figures]
    names = [[name, *(f"{of}_{name}" for of in RESULTS)] for name in SHARES]
    shares = [max(record.figures.get(name, 0.0) for record in records for name in these) for these in names]
    red = sum(record.outcome == "failed" for record in records)
    span = f"{min(rms):.2f} to {max(rms):.2f}" if rms else "-"
    return (
        f"{len(records):6}{span:>20} "
        + " ".join(f"{s:>{len(n)}.2f}" for s, n in zip(shares, SHARES, strict=True))
        + f"{red:4}"
    )


if __name__ == "__main__":
    main()
