"""Peak memory of one run of a kernel, above its inputs."""

from __future__ import annotations

import gc
import json
import os
import re
import select
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO

import torch

from pytest_attn.devices.device import Device
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

PROGRAM = "import sys; from pytest_attn.execution.isolation.memory import answer; answer(int(sys.argv[1]))"


class PeakMemory:
    """Finds the most bytes that one run of a kernel holds beside its inputs, with what it prepared and what it returns.

    From the statistics of the allocator on an accelerator. On a CPU it is the peak of the resident memory of a process
    that does nothing else, started for the first kernel and kept for the next; that needs Linux and a kernel that can
    be found by its name there. What a first run leaves behind, such as compiled code, does not count.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._process: PeakProcess | None = None

    def of(self, spec: str, kernel: Kernel, case: Case, inputs: Inputs, seed: int) -> int | None:
        """Bytes; None where they cannot be known."""
        if self._device.type != "cpu":
            return self._of_an_accelerator(kernel, Problem.of(case), inputs)
        if not os.access(CLEAR, os.W_OK):
            return None
        if self._process is None or not self._process.alive:
            self._process = PeakProcess()
        return self._process.ask(spec, case, seed)

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


class PeakProcess:
    """A process that runs kernels for their peak, one after another; it ends with this object."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        # Larger blocks go back to the system when they are freed, so that what is resident is what is in use.
        environment = os.environ | {
            "MALLOC_MMAP_THRESHOLD_": str(MMAP_BYTES),
            "MALLOC_TRIM_THRESHOLD_": "0",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        # Answers have a pipe of their own: a kernel may print.
        self._child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[writing],
            env=environment,
            text=True,
        )
        os.close(writing)
        self._answers = os.fdopen(reading)
        self._end = weakref.finalize(self, _end, self._child, self._answers)

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._end.alive and self._child.poll() is None

    def ask(self, spec: str, case: Case, seed: int) -> int | None:
        """Bytes; None where the process found none, died or took too long."""
        question = {"spec": absolute(spec), "case": case.id, "seed": seed, "threads": torch.get_num_threads()}
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(question) + "\n")
            self._child.stdin.flush()
            ready, _, _ = select.select([self._answers], [], [], SECONDS)
            line = self._answers.readline() if ready else ""
        except OSError:
            line = ""
        if not line:
            self._end()
            return None
        found: int | None = json.loads(line)
        return found


def _end(child: subprocess.Popen[str], answers: IO[str]) -> None:
    child.kill()
    child.communicate()
    answers.close()


def answer(descriptor: int) -> None:
    """What the process does: a peak, or null, on the pipe for every question on standard input."""
    with os.fdopen(descriptor, "w") as answers:
        for line in sys.stdin:
            question = json.loads(line)
            torch.set_num_threads(question["threads"])
            try:
                peak = _peak_here(question["spec"], Case.parse(question["case"]), question["seed"])
            except Exception:
                peak = None
            answers.write(json.dumps(peak) + "\n")
            answers.flush()


def _peak_here(spec: str, case: Case, seed: int) -> int:
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed).stored()
    return _peak_of_a_run(
        find_kernel(spec),
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


def _status(name: str) -> int:
    """Bytes of a line of `/proc/self/status`."""
    found = re.search(rf"^{name}:\s*(\d+) kB$", STATUS.read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024
