"""How much of the work that a block mask saves the built-in block_sparse kernel turns into time.

    python benchmarks/sparse_speedup.py [--sparsity 0.9] [--dtype float32] [--pairs 9]

Dense `sdpa` and `block_sparse` run by turns in one process; the speedup is the median of the pairs' ratios, the ideal
is all blocks over kept blocks.
"""

from __future__ import annotations

import argparse
import statistics

from timing import seconds, warm_up

from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

BLOCK_SHAPES = ((128, 128), (128, 512), (512, 512), (1024, 1024))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=16384)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--pairs", type=int, default=9)
    asked = parser.parse_args()

    common = {"query_heads": asked.heads, "dtype": asked.dtype}
    dense_case = Case(asked.length, asked.length, **common)
    problem = Problem.of(dense_case)
    inputs = Inputs.draw(problem, seed=42)
    dense = find_kernel("sdpa").prepare(problem, inputs)
    warm_up(dense)
    print(f"{asked.heads} heads, {asked.length} tokens, D 128, {asked.dtype}, sparsity {asked.sparsity:g}")
    for block_shape in BLOCK_SHAPES:
        case = Case(asked.length, asked.length, sparsity=asked.sparsity, block_shape=block_shape, **common)
        name = "{}x{}".format(*block_shape)
        if case.unsatisfiable:
            print(f"{name:10} {case.unsatisfiable}")
            continue
        sparse_problem = Problem.of(case)
        sparse = find_kernel("block_sparse").prepare(sparse_problem, inputs)
        sparse()
        mask = sparse_problem.mask.block_mask
        ideal = mask.blocks.numel() / mask.kept
        ratios = [seconds(dense) / seconds(sparse) for _ in range(asked.pairs)]
        speedup = statistics.median(ratios)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{name:10} speedup {speedup:5.2f} ({spread})  ideal {ideal:5.2f}  share {speedup / ideal:.2f}")


if __name__ == "__main__":
    main()
