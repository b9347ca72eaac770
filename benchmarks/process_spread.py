"""How far processes lie apart, by what is done about it: allocator, threads, length of a process.

    python benchmarks/process_spread.py [--processes 8] [--arm plain ...] [--kernel my_flash ...] [--cpu] [--json FILE]

Fresh processes of every arm take turns, so that all meet the same noise of the machine. Each times README's `my_flash`,
`sdpa` and `block_sparse` beside the matmul that the gate takes as their control, in the rounds and repetitions of the
gate, and says how many pages a call of the kernel had to be given anew. Printed for each kernel and arm: the standard
deviation between processes of the median log-ratio to the control, and of the log of the time itself.

An arm is an environment that the process is started in, one word each:

    plain    as it is
    warm     freed memory stays with the process: glibc neither maps large blocks one by one nor trims its heap
    huge     transparent huge pages for the heap (glibc.malloc.hugetlb=1)
    bound    OpenMP threads are bound to cores and do not sleep (OMP_PROC_BIND, OMP_WAIT_POLICY)
    warmbound  both
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_attn.devices.allocator import WARM

ROOT = Path(__file__).resolve().parent.parent
BOUND = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores", "OMP_WAIT_POLICY": "active"}
ARMS = {
    "plain": {},
    "warm": dict(WARM),
    "huge": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "bound": BOUND,
    "warmbound": {**WARM, **BOUND},
}
CASES = {
    "my_flash": "b1-h8-s512-d64-float32-out-exact",
    "sdpa": "b1-h8-s512-d64-float32-out-exact",
    "block_sparse": "b1-h1-s4096-d128-float32-sp90pct-bs128x128-out-exact",
}
REPETITIONS, ROUNDS = 8, 4


def main() -> None:
    """Start processes and print the table; with `--child KERNEL`, be one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--arm", action="append", choices=ARMS)
    parser.add_argument("--kernel", action="append", choices=CASES)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of the process, for a machine that others load")
    parser.add_argument("--child", choices=CASES)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measured(asked.child, asked.cpu)))
        return
    arms, kernels = asked.arm or [*ARMS], asked.kernel or [*CASES]
    found: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for _ in range(asked.processes):
        for kernel in kernels:
            for arm in arms:
                found[kernel, arm].append(started(kernel, arm, asked.cpu))
    if asked.json:
        asked.json.write_text(json.dumps([[*key, value] for key, value in found.items()]))
    print(f"{'kernel':>14} {'arm':>10} {'ms':>7} {'ratio sd':>9} {'time sd':>8} {'within':>7} {'pages a call':>12}")
    for (kernel, arm), rows in found.items():
        print(table_row(kernel, arm, rows))


def started(kernel: str, arm: str, cpu: bool) -> dict[str, float]:
    """What a fresh process found."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **ARMS[arm]}
    command = [sys.executable, __file__, "--child", kernel, *(["--cpu"] if cpu else [])]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def table_row(kernel: str, arm: str, rows: list[dict[str, float]]) -> str:
    """One kernel in one arm: time, spread of ratios and times over processes, of rounds in one, pages."""

    def of(name: str) -> list[float]:
        return [row[name] for row in rows]

    return (
        f"{kernel:>14} {arm:>10} {1e3 * statistics.median(of('seconds')):7.2f} {statistics.stdev(of('ratio')):9.2%} "
        f"{statistics.stdev(of('log')):8.2%} {statistics.median(of('within')):7.2%} "
        f"{statistics.median(of('pages')):12.0f}"
    )


class ProcessClock:
    """CPU seconds of the process: what others do on the cores does not count, what they do to caches does."""

    name = "process_time"
    resolution = 1e-6

    def measure(self, work: Callable[[], Any], before: Callable[[], Any] | None = None) -> float:
        """CPU seconds of the call."""
        if before is not None:
            before()
        start = time.process_time()
        work()
        return time.process_time() - start


def measured(name: str, cpu: bool) -> dict[str, float]:
    """The kernel beside its control, in this process."""
    import numpy as np
    import torch

    from pytest_attn.bench.clock import CpuClock
    from pytest_attn.bench.control import Control
    from pytest_attn.bench.sampler import sample
    from pytest_attn.execution.session import Session
    from pytest_attn.options.options import read_options
    from pytest_attn.problem.case import Case
    from pytest_attn.problem.pairs import flops

    session = Session(read_options({"device": ["cpu"]}))
    case = Case.parse(CASES[name])
    cell = session.cell(readme_kernel() if name == "my_flash" else name, case)
    run = cell.kernel.prepare(cell.problem, cell.inputs)
    work, device = flops(case), torch.device("cpu")
    controls = tuple(Control.of(work, torch.float32, device, seed) for seed in (1, 2))
    samples, clock = None, ProcessClock() if cpu else CpuClock()
    pages = calls = 0
    for number in range(REPETITIONS):
        later = sample(clock, run, controls, rounds=ROUNDS, seed=number, flush=None, before=samples)
        samples = samples.followed_by(later) if samples else later
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(3):
            run()
        pages += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        calls += 3
    ratios = np.log(samples.kernel) - np.log(samples.control)
    return {
        "ratio": float(np.median(ratios)),
        "within": float(np.std(ratios)) / len(ratios) ** 0.5,
        "log": float(np.median(np.log(samples.kernel))),
        "seconds": float(np.median(samples.kernel)),
        "pages": pages / calls,
    }


def readme_kernel() -> str:
    """README's kernel, written where it can be imported from."""
    import tempfile

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r'```python\n("""A flash kernel.*?)```', text, re.DOTALL)
    assert code
    folder = Path(tempfile.mkdtemp(prefix="attn-spread-"))
    (folder / "my_flash.py").write_text(code[1])
    return f"{folder / 'my_flash.py'}:my_flash"


if __name__ == "__main__":
    main()
