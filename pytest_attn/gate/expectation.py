"""What the runs of a baseline lead to expect of one benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from pytest_attn.gate.spread import PRIOR_DEGREES, Component, Components, Layout, Spread
from pytest_attn.gate.statistics import Floats, contamination, control_share, log_residuals, moderated
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.gate.timing import Timing
from pytest_attn.records.benchmark_id import BenchmarkId

Earlier = Mapping[BenchmarkId, Component]
"""What earlier baselines of a machine said of the variance between sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The distribution, over fresh processes, of y = median over rounds of log(kernel) - theta log(control)."""

    id: BenchmarkId
    runs: int
    """Processes with usable times."""

    raw: bool
    """Whether all of them hold their rounds; without, y is the log of the stored median and has no control."""

    centre: float
    theta: float
    """Share of the control's movement that this kernel follows, 0 to 1."""

    spread: Spread
    """Of y, from process to process and from session to session, moderated towards that of all benchmarks."""

    ratio_centre: float
    """`centre` for theta 1, the plain ratio, to fall back on where the control moves as the baseline never saw it."""

    ratio_spread: Spread
    sessions: int = 1
    """Sessions that the processes are of."""

    seconds: float
    """The kernel's time per call, the median over processes."""

    control: float
    """Log seconds of the control, over processes."""

    control_spread: Spread
    conditions: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    source_hash: str = ""


def expectations(
    runs: Sequence[StoredRun], floor: float, earlier: Earlier = MappingProxyType({})
) -> dict[BenchmarkId, Expectation]:
    """An expectation for each benchmark that has usable times, taken on a quiet machine, in any of the runs.

    Theta and the spreads are learned from each benchmark's runs and moderated towards the whole baseline's, since the
    spread of five numbers is itself uncertain by a third.
    """
    histories = _by_session(runs, floor)
    every = {id: [timing for session in found.values() for timing in session] for id, found in histories.items()}
    thetas = _thetas(every)
    of = [earlier.get(id, Component()) for id in histories]
    learned = _spreads({id: _layout(found, thetas[id]) for id, found in histories.items()}, of)
    plain = _spreads({id: _layout(found, 1.0) for id, found in histories.items()}, of)
    control = _spreads({id: _control_layout(found) for id, found in histories.items()}, [Component()] * len(of))
    return {
        id: Expectation(
            id=id,
            runs=len(every[id]),
            raw=all(timing.raw for timing in every[id]),
            centre=learned[id][0],
            theta=thetas[id],
            spread=learned[id][1],
            ratio_centre=plain[id][0],
            ratio_spread=plain[id][1],
            sessions=len(found),
            seconds=float(np.median([timing.median for timing in every[id]])),
            control=control[id][0],
            control_spread=control[id][1],
            conditions=every[id][-1].conditions,
            versions=every[id][-1].versions,
            source_hash=every[id][-1].source_hash,
        )
        for id, found in histories.items()
    }


def sessions_of(runs: Sequence[StoredRun], floor: float) -> dict[BenchmarkId, Component]:
    """What runs alone say of the variance of each benchmark between sessions, for later baselines to go on."""
    return {id: _layout(found, 1.0).between for id, found in _by_session(runs, floor).items()}


def _by_session(runs: Sequence[StoredRun], floor: float) -> dict[BenchmarkId, dict[str, list[Timing]]]:
    """The usable timings of each benchmark, by session."""
    found: dict[BenchmarkId, dict[str, list[Timing]]] = {}
    for run in runs:
        for timing in run.benchmarks.values():
            if not why_unusable(timing, floor):
                found.setdefault(timing.id, {}).setdefault(run.session, []).append(timing)
    return found


def _layout(sessions: Mapping[str, Sequence[Timing]], theta: float) -> Layout:
    return Layout(sessions=tuple(np.array([summary(each, theta) for each in found]) for found in sessions.values()))


def _control_layout(sessions: Mapping[str, Sequence[Timing]]) -> Layout:
    return Layout(sessions=tuple(_log_controls(found) for found in sessions.values()))


def _spreads(
    layouts: Mapping[BenchmarkId, Layout], earlier: Sequence[Component]
) -> dict[BenchmarkId, tuple[float, Spread]]:
    """Centre and spread of each benchmark."""
    shared = Components.of([*layouts.values()], earlier)
    return {
        id: (layout.centre, layout.spread(shared, before))
        for (id, layout), before in zip(layouts.items(), earlier, strict=True)
    }


def why_unusable(timing: Timing, floor: float) -> str:
    """Why a timing says nothing: times that are none, or a noisy machine; empty where it can be used."""
    return timing.unusable or (contamination(timing.again, floor) if timing.raw else "")


def summary(timing: Timing, theta: float) -> float:
    """y of one process; of a timing without rounds, the log of its stored median."""
    if not timing.raw:
        return float(np.log(timing.median))
    return float(np.median(log_residuals(timing.seconds, timing.control, theta)))


def log_control(timing: Timing) -> float:
    """Median log seconds of the control in one process; 0 where the timing has none."""
    return float(np.median(np.log(timing.control))) if timing.raw else 0.0


def _log_controls(found: Sequence[Timing]) -> Floats:
    return np.array([log_control(timing) for timing in found])


def _thetas(histories: Mapping[BenchmarkId, Sequence[Timing]]) -> dict[BenchmarkId, float]:
    moments = {}
    for id, found in histories.items():
        raw = all(timing.raw for timing in found)
        kernel = np.array([summary(timing, 0.0) for timing in found])
        moments[id] = (*(control_share(kernel, _log_controls(found)) if raw else (0.0, 0.0)), len(found) - 1)
    shared = _share(sum(each[0] for each in moments.values()), sum(each[1] for each in moments.values()))
    return {
        id: moderated(_share(covariance, variance), degrees, shared, PRIOR_DEGREES) if variance > 0 else 0.0
        for id, (covariance, variance, degrees) in moments.items()
    }


def _share(covariance: float, variance: float) -> float:
    return min(max(covariance / variance, 0.0), 1.0) if variance > 0 else 0.0
