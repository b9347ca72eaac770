"""The evidence of a decision: a baseline, the run that is compared with it, and what fresh processes measured again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_attn.gate.baseline import Baseline, difference
from pytest_attn.gate.roofline import peak_rate, why_too_fast
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.gate.timing import Timing
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Word

Floors = Mapping[BenchmarkId, float]
"""The floors, fractions, of benchmarks that have one of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of the benchmarks of one run."""

    baseline: Baseline
    candidate: tuple[StoredRun, ...]
    confirmation: tuple[StoredRun, ...]
    """Of fresh processes; may hold the open benchmarks alone."""

    rule: Rule
    floors: Floors
    peak: float
    """FLOP rate, TFLOP/s, of the fastest control of the candidate; 0 where none is known."""

    @classmethod
    def of(
        cls,
        baseline: Baseline,
        candidate: Sequence[StoredRun],
        confirmation: Sequence[StoredRun],
        rule: Rule | None,
        floors: Floors | None,
    ) -> Evidence:
        """The evidence of these runs. Raises ValueError for no candidate, and where two are from one process."""
        if not candidate:
            raise ValueError("candidate: no runs")
        _refuse_one_process((*baseline.runs, *candidate, *confirmation), known=len(baseline.runs))
        return cls(
            baseline=baseline,
            candidate=tuple(candidate),
            confirmation=tuple(confirmation),
            rule=rule or Rule(),
            floors=floors or {},
            peak=peak_rate(candidate),
        )

    @property
    def ids(self) -> list[BenchmarkId]:
        """The benchmarks of the candidate and, where a run of it was complete, those of the baseline, in order."""
        complete = any(run.complete for run in self.candidate)
        return sorted(_ids(self.candidate) | (_ids(self.baseline.runs) if complete else set()))

    def floor(self, id: BenchmarkId) -> float:
        """The change of a benchmark, a fraction, that matters."""
        return self.floors.get(id, self.rule.floor)

    def timings(self, id: BenchmarkId) -> list[Timing]:
        """What the candidate measured of a benchmark."""
        return _of(id, self.candidate)

    def again(self, id: BenchmarkId) -> list[Timing]:
        """What fresh processes measured of it."""
        return _of(id, self.confirmation)

    def obstacle(self, id: BenchmarkId) -> tuple[Word, str] | None:
        """Why the times of a benchmark cannot be compared at all, as a word and a reason; None where they can."""
        if why := self._foreign(id):
            return "foreign", why
        if not self.timings(id):
            return "gone", "in the baseline, not measured in a complete run"
        for timing in (*self.timings(id), *self.again(id)):
            if timing.unusable:
                # A device that was throttled may be quiet tomorrow; a clock that says 0 is wrong.
                return "inconclusive" if timing.discarded else "suspicious", timing.unusable
            if why := why_too_fast(timing, self.peak, self.rule.roofline):
                return "suspicious", why
        return self._without_expectation(id)

    def _foreign(self, id: BenchmarkId) -> str:
        for run in (*self.candidate, *self.confirmation):
            if why := self.baseline.why_foreign(run):
                return why
        expected = self.baseline.expected.get(id)
        if expected is None:
            return ""
        timings = (*self.timings(id), *self.again(id))
        why = next(filter(None, (difference(expected.conditions, timing.conditions) for timing in timings)), "")
        return f"{why} (there is the baseline, here this run)" if why else ""

    def _without_expectation(self, id: BenchmarkId) -> tuple[Word, str] | None:
        expected = self.baseline.expected.get(id)
        if expected is None:
            return (
                ("inconclusive", "no usable times in the baseline") if id in _ids(self.baseline.runs) else ("new", "")
            )
        if expected.raw and expected.runs < self.rule.fewest_runs:
            return "inconclusive", f"{expected.runs} usable runs in the baseline, {self.rule.fewest_runs} are needed"
        return None


def _refuse_one_process(runs: Sequence[StoredRun], known: int) -> None:
    """Raises ValueError where one of the runs after the first `known` is from the process of an earlier one."""
    seen = {run.process: run.source for run in runs[:known]}
    for run in runs[known:]:
        if run.process in seen:
            raise ValueError(f"{run.source}: from the same process as {seen[run.process]}; each run takes its own")
        seen[run.process] = run.source


def _ids(runs: Iterable[StoredRun]) -> set[BenchmarkId]:
    return {id for run in runs for id in run.benchmarks}


def _of(id: BenchmarkId, runs: Iterable[StoredRun]) -> list[Timing]:
    return [run.benchmarks[id] for run in runs if id in run.benchmarks]
