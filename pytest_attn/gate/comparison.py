"""Timings of one benchmark against what its baseline leads to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_attn.gate.expectation import Expectation, log_control
from pytest_attn.gate.spread import Spread
from pytest_attn.gate.statistics import (
    Floats,
    location,
    log_residuals,
    median_bounds,
    t_quantile,
    t_tail,
)
from pytest_attn.gate.timing import Timing

POWER = 1.2816
"""Quantile of the normal distribution at 90 %: what shows so often in one look shows in two, as a change must, in four
of five runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to take the control into account: how far the processes lie off, in log seconds."""

    shift: float
    error: float
    """Standard error of `shift`."""

    degrees: float
    """Degrees of freedom of `error`."""

    bound: float
    """An effect lies beyond: the practical floor, or what unchanged code may show where that is more."""

    side: int
    """+1 or -1 where the rounds of most processes lie, by their exact 99 % bounds, all above or below the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How far the processes of a run lie from those of the baseline.

    `learned` takes out the share theta of the control's movement that the baseline taught. Where the control moved
    farther than the baseline ever saw, nobody knows that share: then `plain`, the ratio, which takes out all of it, is
    what is shown, and a change must show in both.
    """

    processes: int
    seconds: float
    """The kernel's time per call, the median over processes."""

    learned: View
    plain: View | None
    """The ratio to the control where that moved; else None."""

    control_shift: float
    """Of the control, in log seconds; 0 while it stays within what the baseline has seen."""

    floor: float
    """A fraction."""

    known: bool = True
    """Whether there were raw rounds to tell errors from; without, the floor alone decides."""

    @property
    def shown(self) -> View:
        """The view whose figures are told."""
        return self.plain or self.learned

    @property
    def direction(self) -> int:
        """+1 where slower, -1 where faster, 0 where unchanged, too small, unresolved, or seen in one view only."""
        return next((sign for sign in (1, -1) if self._beyond(sign) and self.shown.side == sign), 0)

    def _beyond(self, sign: int) -> bool:
        return all(sign * view.shift > view.bound for view in (self.learned, self.shown))

    @property
    def contested(self) -> bool:
        """Whether there seems to be a change that the rounds, or the other view, do not bear out."""
        return abs(self.shown.shift) > self.shown.bound and self.direction == 0

    @property
    def beyond_floor(self) -> bool:
        """Whether there seems to be a change that matters, be it borne out or not."""
        return abs(self.shown.shift) > float(np.log1p(self.floor))

    @property
    def too_wide(self) -> bool:
        """Whether unchanged code may show more than twice the floor, so that `unchanged` would mean little."""
        return self.shown.bound > float(np.log1p(2 * self.floor))

    @property
    def p_value(self) -> float:
        """Probability that unchanged code lies as far off in this direction."""
        if not self.known or self.shown.error == 0:
            return 0.0
        return t_tail(abs(self.shown.shift) / self.shown.error, self.shown.degrees)

    @property
    def interval(self) -> tuple[float, float]:
        """99 % interval of the ratio new / old."""
        reach = t_quantile(0.995, self.shown.degrees) * self.shown.error
        return float(np.exp(self.shown.shift - reach)), float(np.exp(self.shown.shift + reach))

    @property
    def ratio(self) -> float:
        """New over old, with the control's movement taken out."""
        return float(np.exp(self.shown.shift))

    @property
    def smallest_detectable(self) -> float:
        """The slowdown, a fraction, that is found in four of five runs."""
        return float(np.expm1(self.shown.bound + POWER * self.shown.error))


def compare(expected: Expectation, timings: Sequence[Timing], floor: float, rate: float) -> Comparison:
    """The comparison of usable timings, each of a process of its own, at `rate` false alarms to each side.

    `floor` is a fraction. Where the baseline or a timing has no raw rounds, the floor alone decides.
    """
    if not (expected.raw and all(timing.raw for timing in timings)):
        return _by_the_floor(expected, timings, floor)
    log_floor = float(np.log1p(floor))
    control_shift = location([log_control(timing) for timing in timings]) - expected.control
    moved = abs(control_shift) > max(log_floor / 2, expected.control_spread.bound(len(timings), rate))
    return Comparison(
        processes=len(timings),
        seconds=_seconds(timings),
        learned=_view(timings, expected.theta, expected.centre, expected.spread, log_floor, rate),
        plain=_view(timings, 1.0, expected.ratio_centre, expected.ratio_spread, log_floor, rate) if moved else None,
        control_shift=control_shift if moved else 0.0,
        floor=floor,
    )


def smallest_detectable(expected: Expectation, found: Comparison, floor: float, rate: float, processes: int) -> float:
    """The slowdown, a fraction, that so many fresh processes as noisy as this one find in four of five runs."""
    usual, _ = expected.spread.error(found.processes)
    noisier = found.shown.error / usual if usual else 1.0
    error, degrees = expected.spread.error(processes)
    error *= max(noisier, 1.0)
    bound = max(float(np.log1p(floor)), t_quantile(1 - rate, degrees) * error)
    return float(np.expm1(bound + POWER * error))


def _view(
    timings: Sequence[Timing], theta: float, centre: float, spread: Spread, log_floor: float, rate: float
) -> View:
    """shift = location over processes of the median over rounds of log(kernel) - theta log(control), less `centre`."""
    residuals = [log_residuals(timing.seconds, timing.control, theta) for timing in timings]
    shift = location([float(np.median(each)) for each in residuals]) - centre
    # A run may be noisier than those of the baseline were: its own rounds say so.
    spread = spread.noisier(_error_within(residuals))
    error, degrees = spread.error(len(timings))
    bound = max(log_floor, t_quantile(1 - rate, degrees) * error)
    return View(shift=shift, error=error, degrees=degrees, bound=bound, side=_side(residuals, centre))


def _error_within(residuals: Sequence[Floats]) -> float:
    """Standard error of a process's median as its rounds tell it: half of its 95 % interval over 1.96, the median of
    processes."""
    bounds = [median_bounds(each, 0.95) for each in residuals]
    return float(np.median([(high - low) / 2 / 1.96 for low, high in bounds]))


def _side(residuals: Sequence[Floats], centre: float) -> int:
    """+1 or -1 where most processes lie, each by the exact 99 % bounds of its median, above or below `centre`."""
    bounds = [median_bounds(each) for each in residuals]
    above, below = (sum(low > centre for low, _ in bounds), sum(high < centre for _, high in bounds))
    return int(2 * above > len(bounds)) - int(2 * below > len(bounds))


def _by_the_floor(expected: Expectation, timings: Sequence[Timing], floor: float) -> Comparison:
    seconds = _seconds(timings)
    shift = float(np.log(seconds / expected.seconds))
    error, degrees = expected.spread.error(len(timings))
    bound = float(np.log1p(floor))
    return Comparison(
        processes=len(timings),
        seconds=seconds,
        learned=View(shift=shift, error=error, degrees=degrees, bound=bound, side=int(np.sign(shift))),
        plain=None,
        control_shift=0.0,
        floor=floor,
        known=False,
    )


def _seconds(timings: Sequence[Timing]) -> float:
    return float(np.median([timing.median for timing in timings]))
