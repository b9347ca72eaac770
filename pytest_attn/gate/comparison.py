"""Timings of one benchmark against what its baseline leads to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_attn.gate.expectation import Expectation, log_control, summary
from pytest_attn.gate.statistics import location, location_variance, log_residuals, median_bounds, t_quantile, t_tail
from pytest_attn.gate.timing import Timing

POWER = 1.2816
"""Quantile of the normal distribution at 90 %: what shows so often in one look shows in two, as a change must, in four
of five nights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to take the control into account: how far the processes lie off, in log seconds."""

    shift: float
    error: float
    """Standard error of `shift`."""

    bound: float
    """An effect lies beyond: the practical floor, or what unchanged code may show where that is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How far the processes of a night lie from those of the baseline.

    `learned` takes out the share theta of the control's movement that the baseline taught. Where the control moved
    farther than the baseline ever saw, nobody knows that share: then `ratio`, which takes out all of it, is what is
    shown, and a change must show in both.
    """

    processes: int
    seconds: float
    """The kernel's time per call, the median over processes."""

    learned: View
    plain: View | None
    """The ratio to the control where that moved; else None."""

    control_shift: float
    """Of the control, in log seconds; 0 while it stays within what the baseline has seen."""

    degrees: float
    floor: float
    """A fraction."""

    resolved: int
    """+1 or -1 where the rounds of most processes lie, by their exact 99 % bounds, all above or below the baseline."""

    known: bool = True
    """Whether there were raw rounds to tell errors from; without, the floor alone decides."""

    @property
    def shown(self) -> View:
        """The view whose figures are told."""
        return self.plain or self.learned

    @property
    def direction(self) -> int:
        """+1 where slower, -1 where faster, 0 where unchanged, too small, unresolved, or seen in one view only."""
        return next((sign for sign in (1, -1) if self._beyond(sign) and self.resolved == sign), 0)

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
        return t_tail(abs(self.shown.shift) / self.shown.error, self.degrees)

    @property
    def interval(self) -> tuple[float, float]:
        """99 % interval of the ratio new / old."""
        reach = t_quantile(0.995, self.degrees) * self.shown.error
        return float(np.exp(self.shown.shift - reach)), float(np.exp(self.shown.shift + reach))

    @property
    def ratio(self) -> float:
        """New over old, with the control's movement taken out."""
        return float(np.exp(self.shown.shift))

    @property
    def smallest_detectable(self) -> float:
        """The slowdown, a fraction, that is found in four of five nights."""
        return float(np.expm1(self.shown.bound + POWER * self.shown.error))


def compare(expected: Expectation, timings: Sequence[Timing], floor: float, rate: float) -> Comparison:
    """The comparison of usable timings, each of a process of its own, at `rate` false alarms to each side.

    `floor` is a fraction. Where the baseline or a timing has no raw rounds, the floor alone decides.
    """
    spread = float(np.sqrt(location_variance(len(timings)) + location_variance(expected.runs)))
    reach = t_quantile(1 - rate, expected.degrees) * spread
    if not (expected.raw and all(timing.raw for timing in timings)):
        return _by_the_floor(expected, timings, floor, spread)

    def view(theta: float, centre: float, scale: float) -> tuple[View, int]:
        shift = location([summary(timing, theta) for timing in timings]) - centre
        error, side = _within(timings, theta, centre)
        # A night may be more restless than those of the baseline were: its own rounds say so.
        scale = max(scale, error)
        return View(shift=shift, error=scale * spread, bound=max(float(np.log1p(floor)), reach * scale)), side

    learned, resolved = view(expected.theta, expected.centre, expected.scale)
    control_shift = location([log_control(timing) for timing in timings]) - expected.control
    plain = None
    if abs(control_shift) > max(float(np.log1p(floor)) / 2, reach * expected.control_scale):
        plain, resolved = view(1.0, expected.ratio_centre, expected.ratio_scale)
    return Comparison(
        processes=len(timings),
        seconds=float(np.median([timing.median for timing in timings])),
        learned=learned,
        plain=plain,
        control_shift=control_shift if plain else 0.0,
        degrees=expected.degrees,
        floor=floor,
        resolved=resolved,
    )


def smallest_detectable(expected: Expectation, found: Comparison, floor: float, rate: float, processes: int) -> float:
    """The slowdown, a fraction, that so many fresh processes as restless as this one find in four of five nights."""
    spread = float(np.sqrt(location_variance(processes) + location_variance(expected.runs)))
    alone = float(np.sqrt(location_variance(found.processes) + location_variance(expected.runs)))
    error = found.shown.error / alone * spread
    bound = max(float(np.log1p(floor)), t_quantile(1 - rate, expected.degrees) * error)
    return float(np.expm1(bound + POWER * error))


def _by_the_floor(expected: Expectation, timings: Sequence[Timing], floor: float, spread: float) -> Comparison:
    seconds = float(np.median([timing.median for timing in timings]))
    shift = float(np.log(seconds / expected.seconds))
    return Comparison(
        processes=len(timings),
        seconds=seconds,
        learned=View(shift=shift, error=expected.scale * spread, bound=float(np.log1p(floor))),
        plain=None,
        control_shift=0.0,
        degrees=expected.degrees,
        floor=floor,
        resolved=int(np.sign(shift)),
        known=False,
    )


def _within(timings: Sequence[Timing], theta: float, centre: float) -> tuple[float, int]:
    """Standard error of a process's median as its rounds tell it, and the side of `centre` on which most lie."""
    sides, errors = [], []
    for timing in timings:
        residuals = log_residuals(timing.seconds, timing.control, theta)
        low, high = median_bounds(residuals)
        sides.append(int(low > centre) - int(high < centre))
        low, high = median_bounds(residuals, 0.95)
        errors.append((high - low) / 2 / 1.96)
    return float(np.median(errors)), next((sign for sign in (1, -1) if 2 * sides.count(sign) > len(sides)), 0)
