"""A baseline: the runs that later ones are compared with, and what they lead to expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pytest_attn.gate.expectation import Earlier, Expectation, expectations
from pytest_attn.gate.roofline import peak_rate, why_too_fast
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.statistics import contamination
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.records.benchmark_id import BenchmarkId


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Runs of one machine, each from a process of its own."""

    machine: str
    unit: str
    """The very device, see `StoredRun`."""

    runs: tuple[StoredRun, ...]
    expected: Mapping[BenchmarkId, Expectation]

    @classmethod
    def of(
        cls, runs: Sequence[StoredRun], rule: Rule | None = None, earlier: Earlier = MappingProxyType({})
    ) -> Baseline:
        """The baseline that runs make up; `earlier` ones said so much of sessions. Raises ValueError where there is
        none, or two are of different machines or of different devices of one model."""
        if not runs:
            raise ValueError("baseline: no runs")
        if found := _different_machines(runs):
            raise ValueError(f"baseline: runs of different machines: {found}")
        first = runs[0]
        expected = expectations(runs, (rule or Rule()).floor, earlier)
        return cls(machine=first.machine, unit=first.unit, runs=tuple(runs), expected=expected)

    def why_foreign(self, run: StoredRun) -> str:
        """Why a run is of another machine, or of another device of the same model; empty where it is of the same."""
        if run.machine != self.machine:
            return f"the baseline is of {self.machine}, this run of {run.machine or 'an unnamed machine'}"
        if run.unit == self.unit:
            return ""
        # Devices of one model differ by a third, so one that is not named must not pass as the same.
        if not run.unit:
            return f"the baseline is of device {self.unit}, this run does not say of which"
        if not self.unit:
            return f"this run is of device {run.unit}, the baseline does not say of which; accept a new one"
        return f"the baseline is of device {self.unit}, this run of {run.unit}"


def why_not_baseline(runs: Sequence[StoredRun], rule: Rule, *, part: bool = False) -> str:
    """The first reason, one sentence, for which runs cannot become a baseline; empty where they can.

    They must be at least `rule.fewest_runs`, of one machine, each of a process of its own, green, complete unless a
    `part` of the suite was asked for, and of the same benchmarks under the same conditions with possible times.
    `rule.fewest_runs` timings of each benchmark must have met a quiet machine, and so must most timings of each run.
    """
    if len(runs) < rule.fewest_runs:
        return f"{len(runs)} runs; a baseline takes {rule.fewest_runs}, each from a fresh process"
    if len({run.process for run in runs}) < len(runs):
        return "two of the runs are from one process"
    if found := _different_machines(runs):
        return f"the runs are of different machines: {found}"
    partial = next(filter(None, (why_partial(run, part=part) for run in runs)), "")
    return partial or _why_not_timings(runs, rule)


def _different_machines(runs: Sequence[StoredRun]) -> str:
    """The machines of runs, or the devices where they name these, in words; empty where all are of one."""
    found = {(run.machine, run.unit) for run in runs}
    return ", ".join(sorted({unit or machine for machine, unit in found})) if len(found) > 1 else ""


def why_partial(run: StoredRun, *, part: bool = False) -> str:
    """Why a run is not right and, unless a `part` of the suite was asked for, whole; empty where it is."""
    if run.failed is None:
        return f"{run.source}: does not say whether its tests passed"
    if run.failed:
        return f"{run.source}: {run.failed} tests failed in it"
    return "" if run.complete or part else f"{run.source}: only a part of the suite was asked for, or it ended early"


def _why_not_timings(runs: Sequence[StoredRun], rule: Rule) -> str:
    first, peak = runs[0].benchmarks, peak_rate(runs)
    for run in runs:
        if run.benchmarks.keys() != first.keys():
            odd = min(run.benchmarks.keys() ^ first.keys())
            return f"{run.source}: {odd} is in some of the runs only"
        for id, timing in run.benchmarks.items():
            if timing.unusable:
                return f"{run.source}: {id}: {timing.unusable}"
            if not timing.raw:
                return f"{run.source}: {id}: no raw times (--benchmark-save-data)"
            if too_fast := why_too_fast(timing, peak, rule.roofline):
                return f"{run.source}: {id}: {too_fast}"
            if timing.conditions != first[id].conditions:
                return f"{run.source}: {id}: {difference(first[id].conditions, timing.conditions)}"
    return _why_noisy_machines(runs, rule)


def why_noisy_machine(run: StoredRun, rule: Rule) -> str:
    """Why most timings of a run say nothing, one sentence; empty where they can be used."""
    why = {id: contamination(timing.again, rule.floor) for id, timing in run.benchmarks.items()}
    noisy = [id for id in why if why[id]]
    if 2 * len(noisy) <= len(why):
        return ""
    return f"{run.source}: the machine was noisy for {len(noisy)} of {len(why)}; {why[noisy[0]]}"


def _why_noisy_machines(runs: Sequence[StoredRun], rule: Rule) -> str:
    quiet = dict.fromkeys(runs[0].benchmarks, 0)
    for run in runs:
        if why := why_noisy_machine(run, rule):
            return why
        for id in quiet:
            quiet[id] += not contamination(run.benchmarks[id].again, rule.floor)
    for id, count in quiet.items():
        if count < rule.fewest_runs:
            return f"{id}: {count} of {len(runs)} runs met a quiet machine, {rule.fewest_runs} must; record more runs"
    return ""


def difference(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """In words, the first name whose values differ; empty where none does."""
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            return f"{name} {old.get(name)} there, {name} {new.get(name)} here"
    return ""
