"""The session: what one run knows, and the way of one case from id to record. Knows nothing of pytest."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pytest_attn.bench.clock import Clock
from pytest_attn.bench.clock_check import checked_clock
from pytest_attn.bench.measure import measure, sit
from pytest_attn.bench.measurement import Measurement
from pytest_attn.bench.memory import PeakMemory
from pytest_attn.bench.samples import Samples
from pytest_attn.checks.registry import check_of
from pytest_attn.checks.subject import Subject
from pytest_attn.checks.trial import REFUSED, UNKNOWN_KEYWORD
from pytest_attn.device import Device
from pytest_attn.diagnosis.diagnose import diagnose
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.timebox import SECONDS, TimeBox
from pytest_attn.judge.tolerances import unjudged_by
from pytest_attn.judge.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel, as_kernel
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.options import Options, read_options
from pytest_attn.oracles.cache import ReferenceCache
from pytest_attn.oracles.oracle import reference_for
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.report.record import Outcome, Record
from pytest_attn.reproduce import reproduce
from pytest_attn.shrink import MOST_CELLS, shrink

DIAGNOSIS_SECONDS = 60.0
"""Time that one process spends on diagnoses; where everything fails, the first ones say as much as all."""

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
        self.device = Device(options.device[worker[0] % len(options.device)])
        self.peak_memory = PeakMemory(self.device)
        self._references = ReferenceCache(cache_directory)
        self._kernels: dict[str, Kernel] = {}
        self._inputs: OrderedDict[str, Inputs] = OrderedDict()
        self.shrunk = 0
        """Failed cells that were shrunk."""
        self.diagnosing = 0.0
        """Seconds spent on diagnoses."""

    def apart(self) -> Session:
        """A session of the same options on the same device that shares no memory and no files with this one."""
        return Session(replace(self.options, device=(self.device.name,)), worker=(0, self.worker))

    @cached_property
    def clock(self) -> Clock:
        """The clock of the device, once checked; see `checked_clock`."""
        return checked_clock(self.device)

    def kernel(self, spec: str) -> Kernel:
        """The kernel of that name, found once. Raises ValueError with one sentence where there is none."""
        if spec not in self._kernels:
            self._kernels[spec] = find_kernel(spec)
        return self._kernels[spec]

    def cell(self, kernel: str | Kernel, case: Case) -> Cell:
        """A kernel, by name or itself, on a case."""
        if isinstance(kernel, str):
            return Cell(self, kernel, self.kernel(kernel), case)
        return Cell(self, kernel.name, kernel, case)

    def inputs(self, problem: Problem, case: Case) -> Inputs:
        """The inputs of a case on this session's device, shared with the other cases of its shape."""
        key = Inputs.content(problem, self.options.seed, case.recipe)
        if key not in self._inputs:
            self._inputs[key] = Inputs.draw(problem, self.options.seed, case.recipe).to(self.device.torch)
            while len(self._inputs) > INPUTS_KEPT:
                self._inputs.popitem(last=False)
        self._inputs.move_to_end(key)
        return self._inputs[key]

    def reference(self, case: Case, problem: Problem, inputs: Inputs) -> Reference:
        """The reference that a case names, shared with other cases where they have it in common."""
        return reference_for(case.oracle, problem, inputs, self._references)


class Cell:
    """One kernel on one case: what a test holds in its hands."""

    def __init__(self, session: Session, spec: str, kernel: Kernel, case: Case) -> None:
        self.session = session
        self.spec = spec
        self.kernel = kernel
        self.case = case
        self.seconds: dict[str, float] = {}
        self.overclaimed = ""
        """What the case needs that the kernel does not claim, where `--attn-overclaim` asks for it nevertheless."""
        self._problem: Problem | None = None
        self._oracle: str = case.oracle

    @property
    def device(self) -> torch.device:
        """The device that the kernel runs on."""
        return self.session.device.torch

    @property
    def problem(self) -> Problem:
        """The problem of the case. Raises ValueError where the case is unsatisfiable."""
        if self._problem is None:
            self._problem = Problem.of(self.case)
        return self._problem

    @property
    def inputs(self) -> Inputs:
        """Query, key and value on the device; do not write into them."""
        with self._timed("inputs"):
            return self.session.inputs(self.problem, self.case)

    @property
    def reference(self) -> Reference:
        """The true result, from the oracle that the case names."""
        return self._reference_of(self.problem, self.inputs)

    def _reference_of(self, problem: Problem, inputs: Inputs) -> Reference:
        with self._timed("oracle"):
            reference = self.session.reference(self.case, problem, inputs)
        self._oracle = reference.oracle
        return reference

    def skipped(self) -> Record | None:
        """Why the cell does not run, as a record; None if it does."""
        case = self.case
        if case.unsatisfiable:
            return self._record("unsatisfiable", f"unsatisfiable: {case.unsatisfiable}")
        for problem in check_of(case.oracle).problems(self.problem):
            lacking = self.kernel.capabilities.why_not(problem, self.session.device.type, case.layout)
            if lacking:
                if not self.session.options.overclaim:
                    return self._record("not claimed", f"not claimed: {lacking}")
                self.overclaimed = lacking
                claims = self.kernel.capabilities.widened(self.problem, self.session.device.type, self.case.layout)
                self.kernel = self.kernel.claiming(claims)
        if self.session.device.missing:
            return self._record("not here", f"not here: {self.session.device.missing}")
        if case.flops > self.session.options.budget_gflop * 1e9:
            return self._record("not here", "not here: over the FLOP budget")
        unjudged = unjudged_by(self.session.options.tolerance, case.ask)
        if unjudged:
            reason = f"not here: the tolerance {self.session.options.tolerance} says nothing of {unjudged}"
            return self._record("not here", reason)
        return None

    def run(self) -> Any:
        """What the kernel returns for a copy of the inputs, as it is. Raises whatever the kernel raises."""
        with self._timed("inputs"):
            given = self.inputs.stored().clone()
        with self._timed("kernel"), torch.no_grad():
            returned = self.kernel.prepare(self.problem, given)()
            self.session.device.synchronize()
        return returned

    @property
    def subject(self) -> Subject:
        """The kernel on the case, as checks hold it."""
        return Subject(
            kernel=self.kernel,
            problem=self.problem,
            inputs=self.inputs,
            device=self.session.device,
            reference=self._reference_of,
            timed=self._timed,
            layout=self.case.layout,
            tolerance=self.session.options.tolerance,
            seed=self.session.options.seed,
        )

    def judge(self) -> Verdict:
        """The verdict of the check that the case names. The kernel runs before its oracle, on guarded inputs."""
        return check_of(self.case.oracle).judge(self.subject)

    def measure(self, *, rounds: int, cold: bool = False, memory: bool = True) -> Measurement:
        """How fast the kernel is on the case, from one sitting; see `pytest_attn.bench.measure`. Only for one that was
        judged right."""
        peak = self.session.peak_memory if memory else None
        with self._timed("latency"):
            clock = self.session.clock
            return measure(self.subject, self.case, self.spec, rounds=rounds, cold=cold, memory=peak, clock=clock)

    def sit(self, *, rounds: int, number: int, before: Samples, cold: bool = False) -> Samples:
        """Further rounds of a later sitting, after those of `before`."""
        with self._timed("latency"):
            clock = self.session.clock
            return sit(self.subject, self.case, rounds=rounds, number=number, cold=cold, clock=clock, before=before)

    def record(self) -> Record:
        """Run, judge and record; or record why not."""
        skipped = self.skipped()
        if skipped:
            return skipped
        verdict = self.judge()
        if verdict.passed:
            return self._record("passed", "", verdict)
        if self.overclaimed and verdict.findings[0].what in (REFUSED, UNKNOWN_KEYWORD):
            return self._record("not claimed", f"not claimed: {self.overclaimed}")
        found = self.diagnose(verdict)
        reason = f"{self.overclaimed} is not claimed, and there are numbers: " if self.overclaimed else ""
        reason += verdict.summary
        if found and found.phrase not in reason:
            reason += f"; looks like: {found.phrase}"
        smallest = self._smallest_failing(verdict)
        return replace(self.failed(reason, verdict), smallest=smallest, diagnosis=found.kind if found else "")

    def diagnose(self, verdict: Verdict) -> Diagnosis | None:
        """What is wrong, where that accounts for a red verdict; None once this session has spent its time on that."""
        left = DIAGNOSIS_SECONDS - self.session.diagnosing
        if left <= 0:
            return None
        box = TimeBox(min(SECONDS, left))
        with self._timed("diagnosis"):
            found = diagnose(self.subject, verdict, box)
        self.session.diagnosing += box.spent
        return found

    def _smallest_failing(self, verdict: Verdict) -> str:
        """The id of the smallest case that fails as this cell does; empty where none is to be looked for."""
        seconds = self.session.options.shrink
        if seconds is None or self.session.shrunk == MOST_CELLS:
            return ""
        self.session.shrunk += 1
        kinds = {finding.what for finding in verdict.findings}
        # What small cases need must not drive the inputs and references of the run out of memory, nor fill its cache.
        session = self.session.apart()

        def fails(case: Case) -> bool:
            cell = Cell(session, self.spec, self.kernel, case)
            try:
                return cell.skipped() is None and any(finding.what in kinds for finding in cell.judge().findings)
            except Exception:
                # An oracle may refuse a case that no sweep has; the verdict on this cell must not be lost to that.
                return False

        with self._timed("shrink"):
            return shrink(self.case, fails, seconds).id

    def failed(self, reason: str, verdict: Verdict | None = None) -> Record:
        """The record of a cell that is wrong."""
        return self._record("failed", reason, verdict)

    def _record(self, outcome: Outcome, reason: str, verdict: Verdict | None = None) -> Record:
        options = self.session.options
        return Record(
            case=self.case.id,
            kernel=self.spec,
            outcome=outcome,
            reason=reason,
            reproduce=reproduce(self.spec, self.case, options, self.session.device) if outcome == "failed" else "",
            figures=verdict.figures if verdict else {},
            seconds=dict(self.seconds),
            device=self.session.device.name,
            oracle=self._oracle,
            tolerance=options.tolerance,
            seed=options.seed,
            flops=self.case.flops,
            worker=self.session.worker,
        )

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start


def check_kernel(kernel: Any, sweep: str = "smoke", **options: Any) -> list[Record]:
    """Judge a kernel, or the name of one, on a sweep, without pytest; one record per cell.

    Further keywords are the options of the command line, with their values: `device="cuda"`, `budget="none"`,
    `axis=["dtype=float32"]`. Raises ValueError naming the option, the value and what is allowed.
    """
    given = {"sweep": sweep, **options}
    asked = read_options(
        {name: [*map(str, v)] if isinstance(v, list | tuple) else [str(v)] for name, v in given.items()}
    )
    if not isinstance(kernel, str):
        kernel = as_kernel(kernel, str(getattr(kernel, "name", getattr(kernel, "__name__", "kernel"))))
    session = Session(asked, Path(asked.cache) if asked.cache not in ("on", "off") else None)
    cells = [case for name in asked.sweeps for case in find_sweep(name) if asked.keeps(name, case)]
    return list(judged(kernel, asked.case or cells, session))


def judged(kernel: str | Kernel, cases: Iterable[Case], session: Session) -> Iterator[Record]:
    """The record of every case, in order."""
    for case in cases:
        yield session.cell(kernel, case).record()
