"""Peak memory of one run of a kernel, above its inputs."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable
from pathlib import Path

import torch

from pytest_attn.devices.allocator import COLD
from pytest_attn.devices.device import Device
from pytest_attn.execution.isolation.child import Child, ChildError
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.resolve import absolute, find_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What makes Linux set the peak of a process to what it uses now; see proc(5)."""

ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": "65536", **COLD}
"""Larger blocks go back to the system when they are freed, so that what is resident is what is in use."""

SECONDS = 120.0
"""Time that a process of its own may take for one case."""


class PeakMemory:
    """Finds the most bytes that one run of a kernel holds beside its inputs, with what it prepared and what it returns.

    From the statistics of the allocator on an accelerator. On a CPU it is the peak of the resident memory of a process
    that does nothing else, started for the first kernel and kept for the next; that needs Linux and a kernel that can
    be found by its name there. What a first run leaves behind, such as compiled code, does not count.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._child: Child | None = None

    def of(self, spec: str, kernel: Kernel, case: Case, inputs: Inputs, seed: int) -> int | None:
        """Bytes; None where they cannot be known."""
        if self._device.type != "cpu":
            return self._of_an_accelerator(kernel, Problem.of(case), inputs)
        if not os.access(CLEAR, os.W_OK):
            return None
        if self._child is None or not self._child.alive:
            self._child = Child(environment=ALLOCATION)
        question = {"spec": absolute(spec), "case": case.id, "seed": seed, "threads": torch.get_num_threads()}
        try:
            peak: int = self._child.ask(f"{__name__}:{peak_here.__name__}", question, seconds=SECONDS)
        except ChildError:
            return None
        return peak

    def _of_an_accelerator(self, kernel: Kernel, problem: Problem, inputs: Inputs) -> int:
        device, backend = self._device, getattr(torch, self._device.type)

        def used() -> int:
            device.synchronize()
            return int(backend.memory_allocated(device.torch))

        def peak() -> int:
            device.synchronize()
            return int(backend.max_memory_allocated(device.torch))

        return _peak_of_a_run(
            kernel, problem, inputs, used, lambda: backend.reset_peak_memory_stats(device.torch), peak
        )


def peak_here(spec: str, case: str, seed: int, threads: int) -> int:
    """Bytes that the kernel takes in this process, which does nothing else, for the case of that id."""
    torch.set_num_threads(threads)
    # A file of a kernel may register the variants of its cases.
    kernel = find_kernel(spec)
    problem = Problem.of(Case.parse(case))
    inputs = Inputs.draw(problem, seed).stored()
    return _peak_of_a_run(
        kernel,
        problem,
        inputs,
        lambda: _status("VmRSS"),
        lambda: CLEAR.write_text(RESET_PEAK),
        lambda: _status("VmHWM"),
    )


def _peak_of_a_run(
    kernel: Kernel,
    problem: Problem,
    inputs: Inputs,
    used: Callable[[], int],
    reset: Callable[[], object],
    peak: Callable[[], int],
) -> int:
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


def _status(name: str) -> int:
    """Bytes of a line of `/proc/self/status`."""
    found = re.search(rf"^{name}:\s*(\d+) kB$", STATUS.read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024
