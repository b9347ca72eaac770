"""How the peak memory of built-in kernels grows with the length of a sequence.

    python benchmarks/memory.py [--length 1024 ...] [--heads 1] [--dim 64] [--dtype float32 ...] [--kernel NAME ...]

The peak of one forward pass above its inputs, in MB of 2^20 bytes, measured in a process of its own; and the exponent
of its growth, the slope of a straight line through log(peak) over log(length). Queries are as many as keys.
Linux counts resident pages per core and adds them up later: peaks below 1 MB are known roughly; more --heads help.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np

from pytest_attn.devices.device import Device
from pytest_attn.execution.isolation.memory import PeakMemory
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

KERNELS = ("naive", "masked", "flash_v1", "flash_v2", "gqa", "split_kv_decode", "sdpa")
LENGTHS = (1024, 2048, 4096, 8192)
SEED = 42


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, action="append")
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--dtype", action="append")
    parser.add_argument("--kernel", action="append")
    asked = parser.parse_args()
    lengths = asked.length or LENGTHS
    memory = PeakMemory(Device("cpu"))
    print(f"{asked.heads} heads, D {asked.dim}, peak in MB by length")
    print(f"{'kernel':17}{'dtype':10}" + "".join(f"{length:>10}" for length in lengths) + f"{'exponent':>10}")
    for kernel, dtype in product(asked.kernel or KERNELS, asked.dtype or ("float32", "bfloat16")):
        cases = [Case(n, n, query_heads=asked.heads, head_dim=asked.dim, dtype=dtype, ask="out") for n in lengths]
        peaks = [peak(memory, kernel, case) for case in cases]
        sizes = "".join(f"{size:10.1f}" for size in peaks)
        print(f"{kernel:17}{dtype:10}{sizes}{np.polyfit(np.log(lengths), np.log(peaks), 1)[0]:10.2f}", flush=True)


def peak(memory: PeakMemory, kernel: str, case: Case) -> float:
    """Peak memory of a kernel on a case, in MB."""
    found = memory.of(kernel, find_kernel(kernel), case, Inputs.draw(Problem.of(case), SEED), SEED)
    if found is None:
        raise SystemExit(f"{kernel}: the peak memory of {case.id} is not known here")
    return found / 2**20


if __name__ == "__main__":
    main()
