"""A cell: one kernel on one case, from id to record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from pytest_attn.bench.measure import measure, time_rounds
from pytest_attn.bench.measurement import Measurement
from pytest_attn.checks.registry import check_of
from pytest_attn.checks.subject import Subject, specified
from pytest_attn.checks.trial import REFUSED, UNKNOWN_KEYWORD
from pytest_attn.contained import said
from pytest_attn.devices.allocation import cannot_allocate
from pytest_attn.diagnosis.diagnose import diagnose
from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.timebox import SECONDS, TimeBox
from pytest_attn.execution.reproduce import reproduce
from pytest_attn.execution.smallest import seconds_to_shrink, smallest_failing
from pytest_attn.judge.verdict.tolerances import unjudged_by
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.lost_logits import LOST, loses_logits
from pytest_attn.kernels.needs import needs_of
from pytest_attn.kernels.refusal import DeclarationError, RefusalError
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.recipes import largest_logit
from pytest_attn.records.case_fields import fields_of
from pytest_attn.records.record import Outcome, Record

if TYPE_CHECKING:
    from pytest_attn.execution.session import Session

DIAGNOSIS_SECONDS = 30.0
"""Time that one process spends on diagnoses; where everything fails, the first ones say as much as all."""


class Cell:
    """One kernel on one case: what a test holds in its hands."""

    def __init__(self, session: Session, spec: str, kernel: Kernel, case: Case, sweep: str = "") -> None:
        self.session = session
        self.spec = spec
        self.case = case
        self.sweep = sweep
        """The sweep that the case is of; empty for a case that was asked for by its id."""
        self.seconds: dict[str, float] = {}
        self._declared = kernel
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

    @cached_property
    def kernel(self) -> Kernel:
        """The kernel; under `--attn-overclaim` claiming what the case needs beside."""
        if not self.overclaimed:
            return self._declared
        claims = self._declared.capabilities
        for problem in self._problems:
            claims = claims.widened(problem, self.session.device.type, self.case.layout)
        return self._declared.claiming(claims)

    @property
    def overclaimed(self) -> str:
        """What the case needs that the kernel does not claim, where `--attn-overclaim` asks for it nevertheless."""
        asked = self.session.options.overclaim and not self.case.unsatisfiable
        return self.unclaimed if asked else ""

    @cached_property
    def unclaimed(self) -> str:
        """The first thing that a problem of the case needs and the kernel does not claim, or why it refuses one; empty
        where it claims all. Raises RefusalError where a refusal of the kernel says neither yes nor no."""
        claims, device = self._declared.capabilities, self.session.device.type
        return next(filter(None, (claims.why_not(each, device, self.case.layout) for each in self._problems)), "")

    @cached_property
    def _problems(self) -> tuple[Problem, ...]:
        """Every problem that the check of the case runs."""
        return tuple(check_of(self.case.oracle).problems(self.problem))

    @property
    def _needs(self) -> tuple[str, ...]:
        """What the case needs of a kernel, by any of its problems."""
        if self.case.unsatisfiable:
            return ()
        device, layout = self.session.device.type, self.case.layout
        return tuple(dict.fromkeys(need for each in self._problems for need in needs_of(each, device, layout)))

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
        """Why the cell does not run, as a record, failed where the kernel does not know; None if it does."""
        case = self.case
        if case.unsatisfiable:
            return self._record("unsatisfiable", f"unsatisfiable: {case.unsatisfiable}")
        try:
            unclaimed = self.unclaimed
        except RefusalError as error:
            return self.failed(str(error))
        if unclaimed and not self.session.options.overclaim:
            return self._record("not claimed", f"not claimed: {unclaimed}")
        size = largest_logit(self.problem, case.recipe)
        try:
            lost = loses_logits(self.problem, self._declared.numerics_for(self.problem), size)
        except DeclarationError as error:
            return self.failed(str(error))
        if lost:
            return self._record("not claimed", f"not claimed: {LOST}")
        if self.session.device.missing:
            return self._record("not here", f"not here: {self.session.device.missing}")
        if flops(case) > self.session.options.budget_gflop * 1e9:
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
        with self._timed("kernel"):
            returned = self.kernel.prepare(self.problem, given)()
            self.session.device.synchronize()
        return returned

    @property
    def subject(self) -> Subject:
        """The kernel on the case, as checks hold it."""
        return Subject(
            kernel=self.kernel,
            problem=self.problem,
            inputs=specified(self.kernel, self.problem, self.inputs),
            device=self.session.device,
            reference=self._reference_of,
            timed=self._timed,
            layout=self.case.layout,
            tolerance=self.session.options.tolerance,
            seed=self.session.options.seed,
            budgets=self.session.budgets(self.kernel, self.case, self.problem),
        )

    @property
    def _timed_subject(self) -> Subject:
        """The kernel on the case, as it is timed: on inputs that other oracles than the exact one may not know."""
        exact = replace(self.case, oracle="exact")

        def reference(problem: Problem, inputs: Inputs) -> Reference:
            return self.session.reference(exact, problem, inputs)

        return replace(self.subject, reference=reference)

    def judge(self) -> Verdict:
        """The verdict of the check that the case names. The kernel runs before its oracle, on guarded inputs."""
        return check_of(self.case.oracle).judge(self.subject)

    def measure(self, *, rounds: int, cold: bool = False, memory: bool = True) -> Measurement:
        """How fast the kernel is on the case, from so many rounds beside its control; `memory` asks for the peak of a
        run, too. Only for a kernel that was judged right. Raises WrongWhenTimedError where a timed call is wrong."""
        with self._timed("latency"):
            clock, subject = self.session.clock, self._timed_subject
            measured = measure(subject, self.case, self.spec, rounds=rounds, cold=cold, clock=clock)
            if not memory:
                return measured
            given = subject.inputs.stored()
            peak = self.session.peak_memory.of(self.spec, self.kernel, self.case, given, self.session.options.seed)
            return replace(measured, peak_bytes=peak)

    def measure_more(self, before: Measurement, *, rounds: int, number: int) -> Measurement:
        """The measurement `before` with further rounds, those of repetition `number`, on inputs of their own. Raises
        WrongWhenTimedError where a timed call is wrong."""
        with self._timed("latency"):
            samples = time_rounds(
                self._timed_subject,
                self.case,
                rounds=rounds,
                number=number,
                cold=before.cold,
                clock=self.session.clock,
                before=before.samples,
            )
        return replace(before, samples=before.samples.followed_by(samples))

    def record(self) -> Record:
        """Run, judge and record; or record why not."""
        skipped = self.skipped()
        if skipped:
            return skipped
        try:
            verdict = self.judge()
        except DeclarationError as error:  # of a later call of a sequence
            return self.failed(str(error))
        except (MemoryError, OverflowError, RuntimeError, TypeError, ValueError) as error:
            if not cannot_allocate(error):
                raise
            return self.failed(f"tensors of the case cannot be allocated: {said(error)}")
        if verdict.passed:
            return self._record("passed", verdict=verdict)
        if self.overclaimed and verdict.findings[0].what in (REFUSED, UNKNOWN_KEYWORD):
            return self._record("not claimed", f"not claimed: {self.overclaimed}")
        found = self.diagnose(verdict)
        smallest = self._smallest(verdict, found)
        failed = self.failed(verdict=verdict)
        return replace(failed, unclaimed=self.overclaimed, smallest=smallest, diagnosis=found)

    def diagnose(self, verdict: Verdict) -> Diagnosis | None:
        """What is wrong, where that accounts for a red verdict; None once this session has spent its time on that."""
        left = DIAGNOSIS_SECONDS - self.session.diagnosing
        if left <= 0:
            return None
        box = TimeBox(min(SECONDS, left))
        with self._timed("diagnosis"):
            found = self.diagnosed(verdict, box)
        self.session.diagnosing += box.spent
        return found

    def diagnosed(self, verdict: Verdict, box: TimeBox) -> Diagnosis | None:
        """What is wrong, as far as a time box allows."""
        return diagnose(self.subject, verdict, box, self.session.known_of(self.spec))

    def _smallest(self, verdict: Verdict, found: Diagnosis | None) -> str:
        """The id of a smaller case that fails as this cell does; empty where none was looked for, or found."""
        seconds = seconds_to_shrink(self.session, self.spec, verdict, found)
        if not seconds:
            return ""
        # What small cases need must not drive the inputs and references of the run out of memory, nor fill its cache.
        session = self.session.isolated()
        with self._timed("shrink"):
            return smallest_failing(
                self.case,
                lambda case: Cell(session, self.spec, self._declared, case),
                verdict,
                # Who asks for the smallest case gets it, whatever it is called.
                found if self.session.options.shrink is None else None,
                seconds,
            )

    def failed(self, why: str = "", verdict: Verdict | None = None) -> Record:
        """The record of a cell that is wrong: for what the judge found, or for another reason."""
        return self._record("failed", why, verdict)

    def _record(self, outcome: Outcome, why: str = "", verdict: Verdict | None = None) -> Record:
        options = self.session.options
        ran = outcome in ("passed", "failed")
        return Record(
            case=self.case.id,
            kernel=self.spec,
            outcome=outcome,
            why=why,
            findings=verdict.findings if verdict else (),
            reproduce=reproduce(self.spec, self.case, options, self.session.device) if outcome == "failed" else "",
            source=self.session.source(self._declared, self.spec) if ran else None,
            sweep=self.sweep,
            needs=self._needs,
            fields=fields_of(self.case),
            figures=verdict.figures if verdict else {},
            seconds=dict(self.seconds),
            device=self.session.device.name,
            oracle=self._oracle,
            tolerance=options.tolerance,
            seed=options.seed,
            flops=flops(self.case),
            host=self.session.host,
            worker=self.session.worker,
        )

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
