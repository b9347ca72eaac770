"""How fast the flash kernel in C++ of examples/native is beside PyTorch's.

    python benchmarks/native_speed.py [--length 4096] [--dtype float32] [--pairs 9]

Both run by turns in one process, with as many threads as torch has; the ratio is the median of the pairs' ratios, of
the times on the clock and of the CPU time that they took. Causal, PyTorch's kernel is told so and given no mask.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from timing import warm_up

from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

EXAMPLE = Path(__file__).parent.parent / "examples" / "native" / "flash.py"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--pairs", type=int, default=9)
    asked = parser.parse_args()
    print(f"{asked.heads} heads, {asked.length} tokens, D 128, {asked.dtype}, {torch.get_num_threads()} threads")
    for causal in (None, "bottom-right"):
        case = Case(asked.length, asked.length, query_heads=asked.heads, dtype=asked.dtype, causal=causal)
        problem = Problem.of(case)
        inputs = Inputs.draw(problem, seed=42)
        ours = find_kernel(f"{EXAMPLE}:flash").prepare(problem, inputs)
        theirs = flash_of_torch(problem, inputs)
        ours()
        warm_up(theirs)
        pairs = [(both(theirs), both(ours)) for _ in range(asked.pairs)]
        for at, what in enumerate(("clock", "CPU time")):
            ratios = [their[at] / our[at] for their, our in pairs]
            middle, spread = statistics.median(ratios), f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"{'causal' if causal else 'dense':8} {what:8} {middle:.2f} of sdpa's speed ({spread})")


def flash_of_torch(problem: Problem, inputs: Inputs) -> Callable[[], object]:
    """PyTorch's flash kernel for the CPU on a problem without a mask, or a causal one of as many queries as keys."""
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    query, key, value = inputs.query, inputs.key, inputs.value
    return lambda: flash(query, key, value, 0.0, problem.causal is not None, attn_mask=None, scale=problem.scale)


def both(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call on the clock, and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
