"""Peak memory of one run of a kernel, above its inputs."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from pytest_attn.device import Device
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.resolve import absolute, find_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What makes Linux set the peak of a process to what it uses now; see proc(5)."""

MMAP_BYTES = 65536
SECONDS = 120.0
"""Time that a process of its own may take for one case."""

PROGRAM = "import sys; from pytest_attn.bench.memory import write_peak; write_peak(*sys.argv[1:])"


def peak_bytes(spec: str, kernel: Kernel, case: Case, inputs: Inputs, device: Device, seed: int) -> int | None:
    """Most bytes that one run of a kernel holds beside its inputs, with what it prepared and what it returns.

    From the statistics of the allocator on an accelerator. On a CPU it is the peak of the resident memory of a process
    that does nothing else; that needs Linux and a kernel that can be found by its name there. None where it cannot be
    known. What a first run leaves behind, such as compiled code, does not count.
    """
    if device.type == "cpu":
        return _peak_of_a_process(spec, case, seed)
    backend = getattr(torch, device.type)

    def allocated() -> int:
        device.synchronize()
        return int(backend.memory_allocated(device.torch))

    def peak() -> int:
        device.synchronize()
        return int(backend.max_memory_allocated(device.torch))

    reset = lambda: backend.reset_peak_memory_stats(device.torch)  # noqa: E731
    return _peak_of_a_run(kernel, Problem.of(case), inputs, allocated, reset, peak)


def _peak_of_a_run(
    kernel: Kernel,
    problem: Problem,
    inputs: Inputs,
    used: Callable[[], int],
    reset: Callable[[], object],
    peak: Callable[[], int],
) -> int:
    with torch.no_grad():
        # The first run loads libraries and starts threads, which are not memory of this problem.
        kernel.prepare(problem, inputs)()
        gc.collect()
        before = used()
        run = kernel.prepare(problem, inputs)
        reset()
        returned = run()
        most = peak()
    del returned
    return max(most - before, 0)


def _peak_of_a_process(spec: str, case: Case, seed: int) -> int | None:
    if not os.access(CLEAR, os.W_OK):
        return None
    # Larger blocks go back to the system when they are freed, so that what is resident is what is in use.
    environment = os.environ | {
        "MALLOC_MMAP_THRESHOLD_": str(MMAP_BYTES),
        "MALLOC_TRIM_THRESHOLD_": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "peak"
        words = [absolute(spec), case.id, str(seed), str(torch.get_num_threads()), str(answer)]
        command = [sys.executable, "-c", PROGRAM, *words]
        try:
            subprocess.run(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
                check=True,
            )
        except (subprocess.SubprocessError, OSError):
            return None
        return int(answer.read_text())


def write_peak(spec: str, case_id: str, seed: str, threads: str, answer: str) -> None:
    """Measure in this process, which is there for nothing else, and write the bytes to the file `answer`."""
    torch.set_num_threads(int(threads))
    case = Case.parse(case_id)
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, int(seed))
    most = _peak_of_a_run(
        find_kernel(spec),
        problem,
        inputs,
        lambda: _status("VmRSS"),
        lambda: CLEAR.write_text(RESET_PEAK),
        lambda: _status("VmHWM"),
    )
    Path(answer).write_text(str(most))


def _status(name: str) -> int:
    """Bytes of a line of `/proc/self/status`."""
    found = re.search(rf"^{name}:\s*(\d+) kB$", STATUS.read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024
