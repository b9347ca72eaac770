"""The session: what the cells of one run share. Knows nothing of pytest."""

from __future__ import annotations

import platform
from collections import OrderedDict
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pytest_attn.bench.clock import Clock
from pytest_attn.bench.clock_check import checked_clock
from pytest_attn.bench.kernel_source import KernelSource
from pytest_attn.bench.source import kernel_source
from pytest_attn.checks.subject import Budgets
from pytest_attn.devices.device import Device
from pytest_attn.diagnosis.diagnose import GENERAL
from pytest_attn.diagnosis.known import Known
from pytest_attn.execution.cell import Cell
from pytest_attn.execution.drawn import drawn_sweep
from pytest_attn.execution.isolation.memory import PeakMemory
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.numerics import EmptyRows
from pytest_attn.kernels.refusal import RefusalError
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.options.options import Options
from pytest_attn.oracles.cache import ReferenceCache
from pytest_attn.oracles.oracle import reference_for
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.sweep import Sweep, find_sweep, is_drawn
from pytest_attn.records.declared import Declared

INPUTS_KEPT = 2
"""Input sets kept in memory; the cells of one shape follow each other."""


class Session:
    """One run: its options, kernels, device, shared inputs and references.

    `cache_directory` None keeps references in memory; `worker` is (index, name) of the xdist worker that this process
    is.
    """

    def __init__(
        self, options: Options, cache_directory: Path | None = None, worker: tuple[int, str] = (0, "")
    ) -> None:
        self.options = options
        self.worker = worker[1]
        self.host = platform.node()
        self.device = Device(options.device[worker[0] % len(options.device)])
        self.peak_memory = PeakMemory(self.device)
        self._references = ReferenceCache(cache_directory)
        self._drawn_folder = cache_directory and cache_directory / "drawn"
        self._kernels: dict[str, Kernel] = {}
        self._drawn: dict[tuple[str, str], int] = {}
        self._sources: dict[str, KernelSource] = {}
        self._inputs: OrderedDict[str, Inputs] = OrderedDict()
        self._budgets: tuple[tuple[Problem, str, str, EmptyRows] | None, Budgets] = (None, {})
        self.shrunk = 0
        """Failed cells that were shrunk."""
        self.shrunk_causes: set[tuple[str, str]] = set()
        """Kernels and causes whose first failed cell was shrunk without being asked to."""
        self._known: dict[str, Known] = {}
        self.diagnosing = 0.0
        """Seconds spent on diagnoses."""

    def isolated(self) -> Session:
        """A session of the same options on the same device that shares no memory and no files with this one."""
        return Session(replace(self.options, device=(self.device.name,)), worker=(0, self.worker))

    @cached_property
    def clock(self) -> Clock:
        """The clock of the device, once it has shown that it times work and not launches."""
        return checked_clock(self.device)

    def kernel(self, spec: str) -> Kernel:
        """The kernel of that name, found once. Raises ValueError with one sentence where there is none."""
        if spec not in self._kernels:
            self._kernels[spec] = find_kernel(spec)
        return self._kernels[spec]

    def known_of(self, spec: str) -> Known:
        """What was diagnosed of a kernel before."""
        return self._known.setdefault(spec, Known(GENERAL))

    def sweep(self, name: str, kernel: str | Kernel) -> Sweep:
        """A sweep, with the cells that are drawn for what a kernel claims; under `--attn-overclaim` for all there is.

        Raises ValueError with one sentence where there is no such sweep or kernel.
        """
        if not is_drawn(name):
            return find_sweep(name)
        spec, kernel = (kernel, self.kernel(kernel)) if isinstance(kernel, str) else (kernel.name, kernel)
        found = drawn_sweep(name, None if self.options.overclaim else kernel.capabilities, self._drawn_folder)
        self._drawn[spec, name] = len(found)
        return found

    def declared(self, kernel: str | Kernel) -> Declared:
        """What a kernel, by name or itself, claims and refuses."""
        found = self.kernel(kernel) if isinstance(kernel, str) else kernel
        claims, name = found.capabilities, kernel if isinstance(kernel, str) else kernel.name
        return Declared(
            kernel=name,
            claims=claims.tryable,
            refuses=tuple(claims.refuses),
            cells={sweep: count for (spec, sweep), count in self._drawn.items() if spec == name},
        )

    def source(self, kernel: Kernel, spec: str) -> KernelSource:
        """Where a kernel is defined, found once."""
        if spec not in self._sources:
            self._sources[spec] = kernel_source(kernel, spec)
        return self._sources[spec]

    def cell(self, kernel: str | Kernel, case: Case, sweep: str = "") -> Cell:
        """A kernel, by name or itself, on a case, of a sweep where that is named: a kernel that does not claim the
        log-sum-exp there is judged on its output alone, under the id of that case."""
        spec, found = (kernel, self.kernel(kernel)) if isinstance(kernel, str) else (kernel.name, kernel)
        cell = Cell(self, spec, found, case, sweep)
        output = self.sweep(sweep, kernel).without_lse(case) if sweep and not self._wants_each_ask else None
        if output is None or case.unsatisfiable:
            return cell
        other = Cell(self, spec, found, output, sweep)
        try:
            return other if not found.capabilities.lse or (cell.unclaimed and not other.unclaimed) else cell
        except RefusalError:
            return cell

    @property
    def _wants_each_ask(self) -> bool:
        """Whether the user asks for what is not claimed, for all of it, or by what is asked."""
        options = self.options
        return options.overclaim or "claimed" in options.require or any(each.axis == "ask" for each in options.axis)

    def inputs(self, problem: Problem, case: Case) -> Inputs:
        """The inputs of a case on this session's device, shared with the other cases of its shape."""
        key = Inputs.content(problem, self.options.seed, case.recipe)
        if key not in self._inputs:
            self._inputs[key] = Inputs.draw(problem, self.options.seed, case.recipe).to(self.device.torch)
            while len(self._inputs) > INPUTS_KEPT:
                self._inputs.popitem(last=False)
        self._inputs.move_to_end(key)
        return self._inputs[key]

    def budgets(self, kernel: Kernel, case: Case, problem: Problem) -> Budgets:
        """The budgets derived so far for a case, which the next has too where problem, inputs and oracle are the same,
        as for the published dense cases that are repeated for every block shape."""
        # Which rows have gradients depends on what the kernel makes of those without keys.
        key = (problem, Inputs.content(problem, self.options.seed, case.recipe), case.oracle, kernel.empty_rows)
        if self._budgets[0] != key:
            self._budgets = (key, {})
        return self._budgets[1]

    def reference(self, case: Case, problem: Problem, inputs: Inputs) -> Reference:
        """The reference that a case names, shared with other cases where they have it in common."""
        return reference_for(case.oracle, problem, inputs, self._references)
