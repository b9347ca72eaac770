"""What correct kernels show of the error that their budget expects.

    python benchmarks/calibration.py [--quick] [--kernel NAME ...] [--recipe NAME ...]

A row per kernel, dtype and kind of mask, over lengths from 64 to 24000 and head dimensions from 32 to 256: lowest and
highest RMS of error / sigma, and the largest share of its limit that each statistic reached. At 1 a correct kernel
would be red.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from pytest_attn.options import Options
from pytest_attn.problem.case import DTYPES, Case
from pytest_attn.report.record import Record
from pytest_attn.session import Session

KERNELS = ("eager", "sdpa", "block_sparse")
LENGTHS = ((64, 64), (500, 500), (2048, 2048), (1000, 8192), (512, 24000))
HEAD_DIMS = (32, 64, 128, 256)
SHARES = ("out_row_rms_share", "out_largest_share", "out_rms_share", "out_bias_share", "lse_share")


def cases(kind: str, recipe: str, quick: bool) -> Iterator[Case]:
    """The cases of one kind of mask, every length with every head dimension."""
    for (queries, keys), dim in product(LENGTHS[:3] if quick else LENGTHS, HEAD_DIMS):
        case = Case(queries, keys, head_dim=dim, query_heads=2, recipe=recipe)  # type: ignore[arg-type]
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
    parser.add_argument("--kernel", action="append")
    parser.add_argument("--recipe", action="append")
    asked = parser.parse_args()
    print(f"{'kernel':14}{'dtype':10}{'mask':8}{'recipe':12}{'cells':>6}{'RMS of error/sigma':>20}", *SHARES, "red")
    for recipe, kernel, dtype, kind in product(
        asked.recipe or ["normal"], asked.kernel or KERNELS, DTYPES, ("dense", "causal", "sparse")
    ):
        session = Session(Options(budget=float("inf")))
        made = [session.cell(kernel, replace(case, dtype=dtype)).record() for case in cases(kind, recipe, asked.quick)]
        ran = [record for record in made if record.ran]
        if ran:
            print(f"{kernel:14}{dtype:10}{kind:8}{recipe:12}{row(ran)}", flush=True)
            for record in ran:
                if record.outcome == "failed":
                    print(f"    {record.case}: {record.reason}")


def row(records: list[Record]) -> str:
    """Extremes of the figures over some records."""
    rms = [record.figures["out_rms"] for record in records if "out_rms" in record.figures]
    shares = [max((record.figures.get(name, 0.0) for record in records), default=0.0) for name in SHARES]
    red = sum(record.outcome == "failed" for record in records)
    span = f"{min(rms):.2f} to {max(rms):.2f}" if rms else "-"
    return (
        f"{len(records):6}{span:>20} "
        + " ".join(f"{s:>{len(n)}.2f}" for s, n in zip(shares, SHARES, strict=True))
        + f"{red:4}"
    )


if __name__ == "__main__":
    main()
