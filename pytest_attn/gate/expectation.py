"""What the runs of a baseline lead to expect of one benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_attn.gate.statistics import (
    Floats,
    contamination,
    control_share,
    location,
    log_residuals,
    moderated,
    robust_sd,
)
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.gate.timing import Timing
from pytest_attn.records.benchmark_id import BenchmarkId

PRIOR_DEGREES = 8.0
"""Weight of what all benchmarks of a baseline share, in degrees of freedom, against one benchmark's own few runs."""


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

    scale: float
    """Standard deviation of y from process to process, moderated towards that of all benchmarks."""

    ratio_centre: float
    """`centre` for theta 1, the plain ratio, to fall back on where the control moves as the baseline never saw it."""

    ratio_scale: float
    degrees: float
    """Degrees of freedom of the scales."""

    seconds: float
    """The kernel's time per call, the median over processes."""

    control: float
    """Log seconds of the control, over processes."""

    control_scale: float
    conditions: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    source_hash: str = ""


def expectations(runs: Sequence[StoredRun], floor: float) -> dict[BenchmarkId, Expectation]:
    """An expectation for each benchmark that has usable times, taken on a quiet machine, in any of the runs.

    Theta and the scale are learned from each benchmark's runs and moderated towards the whole baseline's, since the
    spread of five numbers is itself uncertain by a third.
    """
    histories: dict[BenchmarkId, list[Timing]] = {}
    for run in runs:
        for timing in run.benchmarks.values():
            if not why_unusable(timing, floor):
                histories.setdefault(timing.id, []).append(timing)
    thetas = _thetas(histories)
    summaries = {id: np.array([summary(timing, thetas[id]) for timing in found]) for id, found in histories.items()}
    ratios = {id: np.array([summary(timing, 1.0) for timing in found]) for id, found in histories.items()}
    controls = {id: _log_controls(found) for id, found in histories.items()}
    scale = _class_scale(list(summaries.values()))
    ratio_scale = _class_scale(list(ratios.values()))
    control_scale = _class_scale(list(controls.values()))
    return {
        id: Expectation(
            id=id,
            runs=len(found),
            raw=all(timing.raw for timing in found),
            centre=location(summaries[id]),
            theta=thetas[id],
            scale=_moderated_scale(summaries[id], scale),
            ratio_centre=location(ratios[id]),
            ratio_scale=_moderated_scale(ratios[id], ratio_scale),
            degrees=PRIOR_DEGREES + len(found) - 1,
            seconds=float(np.median([timing.median for timing in found])),
            control=location(controls[id]),
            control_scale=_moderated_scale(controls[id], control_scale),
            conditions=found[-1].conditions,
            versions=found[-1].versions,
            source_hash=found[-1].source_hash,
        )
        for id, found in histories.items()
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


def _class_scale(summaries: Sequence[Floats]) -> float:
    # The median over benchmarks: one noisy benchmark must not widen the bounds of all others.
    return float(np.median([robust_sd(values) for values in summaries])) if summaries else 0.0


def _moderated_scale(values: Floats, prior: float) -> float:
    return float(np.sqrt(moderated(robust_sd(values) ** 2, len(values) - 1, prior**2, PRIOR_DEGREES)))
