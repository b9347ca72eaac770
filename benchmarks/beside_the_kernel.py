"""What judging costs beside the kernel, and against a plain suite of the same cells.

    python benchmarks/beside_the_kernel.py [--kernel block_sparse] [--share 0.1] [--seed 42] [--cpu]

The cells are the 462 of `bsa-lse` that are dense or sparse, with 1024 to 8192 tokens and without a limit of FLOPs;
`--share` takes that part of them, evenly from the cheapest to the dearest; fewer of these have inputs and references in
common, so that more is spent beside the kernel than on all. Each is first judged with an empty cache of
references. Then, cell by cell and by turns, it is judged with the references on disk, as a second run of pytest reads
them, and tested as a plain suite would: fresh inputs, the kernel, torch's scaled_dot_product_attention over a token
mask, `torch.allclose`. Seconds are wall time, with `--cpu` those of the process on all its cores, which say more on a
machine that does other things as well. "Beside the kernel" is all but the calls of the kernel, in percent of
these. pytest's own part is in neither.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from timing import warm_up
from torch.nn.functional import scaled_dot_product_attention

from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.facts import read_output
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.pairs import estimated_flops
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.sweep import find_sweep

GROUPS = ("lse_vs_fias", "lse_vs_fias_sparse")
TOKENS = range(1024, 8193)
MATMUL = 1024

Seconds = Counter[str]
"""Seconds by part; `total` is that of the whole cell."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="block_sparse")
    parser.add_argument("--share", type=float, default=1.0, help="part of the cells, 0 to 1")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--cpu", action="store_true", help="seconds of CPU, not of wall time")
    asked = parser.parse_args()
    if asked.cpu:
        time.perf_counter = time.process_time  # by which cells take their time, too
    kernel, cases = find_kernel(asked.kernel), cells(asked.share)
    operand = torch.randn(MATMUL, MATMUL)
    warm_up(lambda: operand @ operand)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(budget=float("inf"), seed=asked.seed)
        cold, warm, plain = Seconds(), Seconds(), Seconds()
        session = Session(options, Path(folder))
        for case in cases:
            cold += judged(session, kernel, case)
        session = Session(options, Path(folder))
        for case in cases:
            warm += judged(session, kernel, case)
            plain += tested_plainly(kernel, case, asked.seed)
    print(f"{len(cases)} cells, {asked.kernel}, {torch.get_num_threads()} threads")
    for name, seconds in (("cold", cold), ("warm", warm), ("plain suite", plain)):
        print(f"{name:12} {described(seconds)}")
    print(f"{plain['total'] / warm['total']:.2f} times as fast as the plain suite")


def cells(share: float) -> Sequence[Case]:
    """So large a part of the cells, in the order of the sweep, whose neighbours share inputs and references."""
    groups = find_sweep("bsa-lse").groups
    every = [case for name in GROUPS for case in groups[name] if case.query_length in TOKENS and not case.unsatisfiable]
    count = max(1, round(share * len(every)))
    by_cost = sorted(every, key=estimated_flops)
    taken = {by_cost[number * len(every) // count] for number in range(count)}
    return [case for case in every if case in taken]


def judged(session: Session, kernel: Kernel, case: Case) -> Seconds:
    """Judge a cell, which has to pass."""
    start = time.perf_counter()
    record = session.cell(kernel, case, "bsa-lse").record()
    total = time.perf_counter() - start
    assert record.outcome == "passed", f"{case.id}: {record.outcome} {record.message}"
    return Seconds(total=total, **record.seconds)


def tested_plainly(kernel: Kernel, case: Case, seed: int) -> Seconds:
    """What a suite without a judge does."""
    start = time.perf_counter()
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed, case.recipe)
    before = time.perf_counter()
    returned = kernel.prepare(problem, inputs)()
    spent = time.perf_counter() - before
    output = read_output(returned, problem, inputs)
    assert isinstance(output, Output), output.words
    blocks = problem.mask.block_mask.token_mask() if isinstance(problem.mask, BlockSparse) else None
    expected = scaled_dot_product_attention(
        inputs.query, inputs.key, inputs.value, attn_mask=blocks, scale=problem.scale, enable_gqa=problem.group > 1
    )
    assert torch.allclose(output.out.float(), expected.float(), rtol=1e-2, atol=1e-2), case.id
    return Seconds(total=time.perf_counter() - start, kernel=spent)


def described(seconds: Seconds) -> str:
    """Total, kernel, and what is beside it, by part."""
    beside = seconds["total"] - seconds["kernel"]
    parts = {name: spent for name, spent in seconds.items() if name not in ("total", "kernel")}
    parts["rest"] = beside - sum(parts.values())
    listed = ", ".join(f"{name} {spent:.1f}" for name, spent in parts.items())
    share = f"{beside:.1f} s or {beside / seconds['kernel']:.0%}"
    return f"{seconds['total']:7.1f} s, kernel {seconds['kernel']:.1f} s, beside it {share} ({listed})"


if __name__ == "__main__":
    main()
