"""The history of one benchmark: its ratio over the stored runs, and where it changed for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.expectation import Expectation, summary, why_unusable
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.statistics import Floats, robust_sd
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.gate.timing import Timing
from pytest_attn.records.benchmark_id import BenchmarkId

SHORTEST = 3
"""Runs that a level must last to be one."""

PENALTY = 3.0
"""Of a change point, in variances of a run times the log of the number of runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """A lasting change of level, between two runs that follow each other."""

    before: str
    """`when` and commit of the last run of the old level."""

    after: str
    ratio: float
    """New level over old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One benchmark over time, one value for each run that has usable times of it."""

    id: BenchmarkId
    runs: tuple[str, ...]
    """`when` and commit of each run."""

    ratios: tuple[float, ...]
    """Kernel over control, each in units of the median of the first runs; the bare time where no control was stored."""

    changes: tuple[ChangePoint, ...]
    from_golden: float | None = None
    """The level of the last runs over that of the golden baseline, less 1; None where that has no times to compare."""

    @property
    def drift(self) -> float:
        """The level of the last runs over that of the first, less 1: slow changes add up that no run shows alone."""
        values = self.ratios[-Rule().fewest_runs :]
        return float(np.median(values)) - 1.0


def histories(
    runs: Sequence[StoredRun], rule: Rule | None = None, golden: Baseline | None = None
) -> tuple[History, ...]:
    """The history of every benchmark in the runs, which are oldest first and of one machine.

    Raises ValueError where the library that finds change points is not installed.
    """
    rule = rule or Rule()
    ids = sorted({id for run in runs for id in run.benchmarks})
    expected = golden.expected if golden else {}
    return tuple(found for id in ids if (found := _history(id, runs, rule, expected.get(id))))


def _history(id: BenchmarkId, runs: Sequence[StoredRun], rule: Rule, golden: Expectation | None) -> History | None:
    usable = [run for run in runs if id in run.benchmarks and not why_unusable(run.benchmarks[id], rule.floor)]
    if not usable:
        return None
    # A mixture of ratios and bare times would jump where the raw data begins.
    timings = [run.benchmarks[id] for run in usable]
    raw = all(timing.raw for timing in timings)
    levels = np.array([summary(timing, 1.0) if raw else np.log(timing.median) for timing in timings])
    levels -= np.median(levels[: rule.fewest_runs])
    names = tuple(f"{run.when} {run.commit}".strip() for run in usable)
    return History(
        id=id,
        runs=names,
        ratios=tuple(np.exp(levels).tolist()),
        changes=tuple(
            ChangePoint(before=names[at - 1], after=names[at], ratio=float(np.exp(size)))
            for at, size in change_points(levels)
            if abs(size) > np.log1p(rule.floor)
        ),
        from_golden=_from_golden(timings[-rule.fewest_runs :], golden),
    )


def _from_golden(last: Sequence[Timing], golden: Expectation | None) -> float | None:
    if golden is None or any(timing.conditions != golden.conditions for timing in last):
        return None
    if golden.raw and all(timing.raw for timing in last):
        level = float(np.median([summary(timing, 1.0) for timing in last])) - golden.ratio_centre
    else:
        level = float(np.median([np.log(timing.median) for timing in last]) - np.log(golden.seconds))
    return float(np.expm1(level))


def change_points(levels: Floats) -> tuple[tuple[int, float], ...]:
    """Where a series, `[runs]`, changes its level for good: the index of the new level's first run, and by how much.

    Least squares with a penalty per change, exactly (PELT, Killick et al. 2012, as the library ruptures has it); the
    noise is estimated from the differences of neighbours, which a few changes of level do not touch.
    """
    if len(levels) < 2 * SHORTEST:
        return ()
    try:
        import ruptures
    except ImportError:
        raise ValueError("history: change points need ruptures; pip install 'pytest-attn[report]'") from None
    variance = max(robust_sd(np.diff(levels)) ** 2 / 2, 1e-12)
    search = ruptures.Pelt(model="l2", min_size=SHORTEST, jump=1).fit(levels.reshape(-1, 1))
    ends = search.predict(pen=PENALTY * variance * np.log(len(levels)))
    starts = [0, *ends[:-1]]
    medians = [float(np.median(levels[start:end])) for start, end in zip(starts, ends, strict=True)]
    return tuple((start, new - old) for start, old, new in zip(starts[1:], medians[:-1], medians[1:], strict=True))
