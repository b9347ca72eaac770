"""How much of the CPU's float32 matmul rate the exact oracle reaches.

    python benchmarks/oracle_rate.py [--length 8192] [--heads 2] [--pairs 9]

Matmul and oracle run by turns, so that each pair meets the same mood of the machine; the median ratio is printed with
the lowest and highest. FLOPs are those of the attention problem (2 (D + Dv) per pair, 2 D for the log-sum-exp alone);
the moments, which the judge's budget needs, are a third matrix product that is not counted.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace

import torch
from timing import seconds, warm_up

from pytest_attn.oracles.key_block_lse import key_block_table
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.problem import Problem

MATMUL = 4096


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=8192)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=9)
    asked = parser.parse_args()

    case = Case(asked.length, asked.length, query_heads=asked.heads, dtype="bfloat16")
    both = Problem.of(case)
    lse = replace(both, ask="lse")
    inputs = Inputs.draw(both, seed=42)
    left, right = torch.randn(MATMUL, MATMUL), torch.randn(MATMUL, MATMUL)
    product = torch.empty(MATMUL, MATMUL)

    def matmul() -> None:
        torch.mm(left, right, out=product)

    works: dict[str, tuple[Callable[[], object], int]] = {
        "output and LSE": (lambda: stream(both, inputs, moments=False), flops(case)),
        "output, LSE and moments": (lambda: stream(both, inputs), flops(case)),
        "LSE": (lambda: stream(lse, inputs), flops(case) // 2),
        "LSE of every key block": (lambda: key_block_table(lse, inputs), flops(case) // 2),
    }
    warm_up(matmul)
    print(f"{asked.heads} heads, {asked.length} tokens, D 128, bfloat16; {torch.get_num_threads()} threads")
    for name, (work, cost) in works.items():
        work()
        ratios = []
        for _ in range(asked.pairs):
            rate = 2 * MATMUL**3 / seconds(matmul)
            ratios.append(cost / seconds(work) / rate)
        low, median, high = min(ratios), statistics.median(ratios), max(ratios)
        print(f"{name:26} {median:.2f} of the matmul rate ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
