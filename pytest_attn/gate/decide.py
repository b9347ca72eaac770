"""From a baseline and the runs of one night to a decision per benchmark.

What seems changed stays open until fresh processes have measured it again, and is called slower or faster only where
these confirm it: a change that one process shows is as often its own memory layout, or the mood of its machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_attn.gate.baseline import Baseline, difference
from pytest_attn.gate.comparison import Comparison, compare, smallest_detectable
from pytest_attn.gate.expectation import Expectation, why_unusable
from pytest_attn.gate.roofline import peak_rate, why_too_fast
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.statistics import discoveries
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.gate.suspicion import Suspicion, why_noisy
from pytest_attn.gate.timing import Timing
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision

Floors = Mapping[BenchmarkId, float]
"""The floors, fractions, of benchmarks that have one of their own."""


def reproduce(id: BenchmarkId) -> str:
    """The command that times one benchmark alone."""
    return f"python -m pytest --pyargs pytest_attn.suite.test_latency --attn-kernel={id.kernel} --attn-case={id.case}"


def decide(
    baseline: Baseline,
    candidate: Sequence[StoredRun],
    confirmation: Sequence[StoredRun] = (),
    *,
    rule: Rule | None = None,
    floors: Floors | None = None,
    command: Callable[[BenchmarkId], str] = reproduce,
) -> tuple[Decision, ...]:
    """A decision for each benchmark of the baseline and of the candidate's runs, in the order of their ids.

    A benchmark of the baseline is `gone` only where a run of the candidate was complete. `confirmation` may hold the
    suspects alone. Raises ValueError for no candidate, and where two runs are from one process.
    """
    night = _Night(baseline, tuple(candidate), tuple(confirmation), rule or Rule(), floors or {}, peak_rate(candidate))
    night.check()
    found = [night.screen(id) for id in night.ids]
    suspicions = [item for item in found if isinstance(item, Suspicion)]
    # Where nothing seems changed there is nothing to discover; it would only make the others' bar higher.
    tested = [item for item in suspicions if item.direction or item.changed]
    significant = discoveries([item.p_value for item in tested], night.rule.alarms_per_look)
    settled = {item.first.id: each for item, each in zip(tested, significant, strict=True)}
    fewest = night.rule.fewest_to_change
    decisions = [
        item.settle(settled.get(item.first.id, False), fewest) if isinstance(item, Suspicion) else item
        for item in found
    ]
    return tuple(replace(item, reproduce=command(item.id)) for item in decisions)


@dataclass(frozen=True, slots=True)
class _Night:
    baseline: Baseline
    candidate: tuple[StoredRun, ...]
    confirmation: tuple[StoredRun, ...]
    rule: Rule
    floors: Floors
    peak: float
    """FLOP rate, TFLOP/s, of the fastest control of the candidate; 0 where none is known."""

    def check(self) -> None:
        if not self.candidate:
            raise ValueError("candidate: no runs")
        seen = {run.process: run.source for run in self.baseline.runs}
        for run in (*self.candidate, *self.confirmation):
            if run.process in seen:
                raise ValueError(f"{run.source}: from the same process as {seen[run.process]}; each run takes its own")
            seen[run.process] = run.source

    @property
    def ids(self) -> list[BenchmarkId]:
        known = {id for run in self.baseline.runs for id in run.benchmarks} if self._complete else set()
        return sorted(known | {id for run in self.candidate for id in run.benchmarks})

    @property
    def _complete(self) -> bool:
        return any(run.complete for run in self.candidate)

    def screen(self, id: BenchmarkId) -> Decision | Suspicion:
        """The decision on one benchmark, or the suspicion that the confirming processes decide on."""
        floor = self.floors.get(id, self.rule.floor)
        timings = _of(id, self.candidate)
        expected = self.baseline.expected.get(id)
        old = expected.seconds if expected else None
        plain = Decision(id=id, word="noisy", old=old, new=_median(timings), floor=floor)
        if why := self._foreign(timings, expected):
            return replace(plain, word="foreign", reason=why)
        if not timings:
            return replace(plain, word="gone", reason="in the baseline, not measured in a complete run")
        again = _of(id, self.confirmation)
        for timing in (*timings, *again):
            if timing.unusable:
                return replace(plain, reason=timing.unusable)
            if why := why_too_fast(timing, self.peak, self.rule.roofline):
                return replace(plain, word="suspicious", reason=why)
        if expected is None:
            known = any(id in run.benchmarks for run in self.baseline.runs)
            return replace(plain, reason="no usable times in the baseline") if known else replace(plain, word="new")
        if expected.raw and expected.runs < self.rule.fewest_runs:
            why = f"{expected.runs} usable runs in the baseline, {self.rule.fewest_runs} are needed"
            return replace(plain, reason=why)
        return self._compared(plain, expected, timings, again)

    def _compared(
        self, plain: Decision, expected: Expectation, timings: Sequence[Timing], again: Sequence[Timing]
    ) -> Decision | Suspicion:
        good, why = _quiet(timings, plain.floor)
        if not good:
            return self._suspicion(replace(plain, stage="restless", reason=why), expected, again, 0, "")
        found = compare(expected, good, plain.floor * self.rule.suspect_share, self.rule.suspect_rate)
        notes = _notes(expected, good, found)
        first = replace(plain, new=found.seconds, ratio=found.ratio, reason=notes)
        if found.known:
            rate, processes = self.rule.alarms_per_look, self.rule.confirmations
            seen = smallest_detectable(expected, found, plain.floor, rate, processes)
            first = replace(first, interval=found.interval, smallest_detectable=seen)
        if found.direction < 0 and found.ratio < 1 / self.rule.collapse:
            why = f"{1 / found.ratio:.3g} times as fast as the baseline, so perhaps not doing its work"
            return replace(first, word="suspicious", reason=why)
        if found.direction:
            why = f"{'slower' if found.direction > 0 else 'faster'} in this run alone"
            return self._suspicion(replace(first, stage="suspect", reason=why), expected, again, found.direction, notes)
        if found.contested or found.too_wide:
            restless = replace(first, stage="restless", reason=why_noisy(found))
            return self._suspicion(restless, expected, again, 0, notes)
        return replace(first, word="same")

    def _suspicion(
        self, first: Decision, expected: Expectation, again: Sequence[Timing], direction: int, notes: str
    ) -> Suspicion:
        timings, why = _quiet(again, first.floor)
        if len(timings) < self.rule.fewest_confirmations:
            lacking = f"measured again by {len(timings)} of {self.rule.confirmations} fresh processes"
            reason = ", ".join(filter(None, [first.reason, lacking, why]))
            return Suspicion(first=replace(first, reason=reason), direction=direction, again=None)
        # The rate of false alarms is settled afterwards, for all suspicions together; but where no run raised one
        # before, these processes must do as much alone.
        rate = self.rule.alarms_per_look if direction else self.rule.restless_rate
        found = compare(expected, timings, first.floor, rate)
        return Suspicion(first=first, direction=direction, again=found, notes=notes)

    def _foreign(self, timings: Sequence[Timing], expected: Expectation | None) -> str:
        for run in (*self.candidate, *self.confirmation):
            if run.machine != self.baseline.machine:
                return f"the baseline is of {self.baseline.machine}, this run of {run.machine or 'an unnamed machine'}"
            if run.unit and self.baseline.units and run.unit not in self.baseline.units:
                return f"the baseline is of device {min(self.baseline.units)}, this run of {run.unit}"
        if expected:
            for timing in (*timings, *_of(expected.id, self.confirmation)):
                if why := difference(expected.conditions, timing.conditions):
                    return f"{why} (there is the baseline, here this run)"
        return ""


def _of(id: BenchmarkId, runs: Sequence[StoredRun]) -> list[Timing]:
    return [run.benchmarks[id] for run in runs if id in run.benchmarks]


def _quiet(timings: Sequence[Timing], floor: float) -> tuple[list[Timing], str]:
    """The timings that met a quiet machine, and why the last of the others did not."""
    good, why = [], ""
    for timing in timings:
        restless = why_unusable(timing, floor)
        if restless:
            why = restless
        else:
            good.append(timing)
    return good, why


def _median(timings: Sequence[Timing]) -> float | None:
    times = [timing.median for timing in timings if not timing.unusable]
    return float(np.median(times)) if times else None


def _notes(expected: Expectation, timings: Sequence[Timing], found: Comparison) -> str:
    notes = []
    if found.control_shift:
        notes.append(f"the control itself took {np.expm1(found.control_shift):+.1%}, so the ratio to it is judged")
    if not (expected.raw and all(timing.raw for timing in timings)):
        notes.append("no raw times, so the floor alone decides")
    if why := difference(expected.versions, timings[-1].versions):
        notes.append(why)
    if expected.source_hash and timings[-1].source_hash and expected.source_hash != timings[-1].source_hash:
        notes.append("the kernel's source changed")
    if discarded := sum(timing.discarded for timing in timings):
        notes.append(f"{discarded} rounds on a throttled device were discarded")
    return ", ".join(notes)
