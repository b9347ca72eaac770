"""How far processes lie apart: within a session, and sessions from each other.

Processes that follow each other share the state of the machine: its clock, its memory, its neighbours. So the y of
process p in session s of one benchmark is

    y_sp = mu + a_s + e_sp        a ~ (0, between)        e ~ (0, within)

and what n processes of one new session show lies off the locations of S sessions of N processes each by

    error^2 = within (v(n) + v(S) v(N)) + between (1 + v(S))        v(n) the variance of a location of n values

The components are those of a one-way layout: within, pooled over sessions; between, the variance of the locations of
sessions less what processes explain of it. Each is moderated towards that of all benchmarks, and the sum has the
degrees of freedom of Satterthwaite (1946).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_attn.gate.statistics import Floats, location, location_variance, moderated, robust_variance, t_quantile

PRIOR_DEGREES = 8.0
"""Weight of what all benchmarks of a baseline share, in degrees of freedom, against one benchmark's own few runs."""

ASSUMED_BETWEEN = 0.01**2
"""Variance between sessions, of a log, that is assumed before any was seen: 1 %. Between two evenings of one machine of
two cores, one of them not quiet, 38 benchmarks of sdpa differed by 1.4 % more than their processes explain."""

ASSUMED_DEGREES = 4.0
"""Weight of that assumption against the sessions of a baseline, in degrees of freedom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A variance and the degrees of freedom that it is known with."""

    variance: float = 0.0
    degrees: float = 0.0

    def joined(self, other: Component) -> Component:
        """The mean of two estimates of the same, each weighed by its degrees."""
        total = self.degrees + other.degrees
        if not total:
            return Component()
        value = (self.degrees * self.variance + other.degrees * other.variance) / total
        return Component(variance=value, degrees=total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The processes of one benchmark by session, `[processes]` each, and what they alone say of its components."""

    sessions: tuple[Floats, ...]

    @property
    def centre(self) -> float:
        """Where the sessions lie."""
        return location([location(session) for session in self.sessions])

    @property
    def within(self) -> Component:
        """The variance of processes in one session."""
        found = Component()
        for session in self.sessions:
            variance, degrees = robust_variance(session)
            found = found.joined(Component(variance=variance, degrees=degrees))
        return found

    @property
    def between(self) -> Component:
        """The variance of sessions, unbiased and so below 0 at times; without degrees for a single session."""
        if len(self.sessions) < 2:
            return Component()
        # A session that is far off is what is to be measured here, so this is the plain variance.
        of_locations = float(np.var([location(session) for session in self.sessions], ddof=1))
        explained = self.within.variance * self._location_variance
        return Component(variance=of_locations - explained, degrees=len(self.sessions) - 1.0)

    @property
    def _location_variance(self) -> float:
        return float(np.mean([location_variance(len(session)) for session in self.sessions]))

    def spread(self, shared: Components, earlier: Component) -> Spread:
        """The moderated spread. `earlier` is what earlier baselines of this benchmark said of sessions."""
        own = self.within
        between = self.between.joined(earlier)
        share = location_variance(len(self.sessions))
        return Spread(
            within=_moderated(own, shared.within),
            between=_moderated(between, shared.between),
            baseline_within=share * self._location_variance,
            baseline_between=share,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What all benchmarks of a baseline share."""

    within: float
    between: float

    @classmethod
    def of(cls, layouts: Sequence[Layout], earlier: Sequence[Component]) -> Components:
        """The components of many benchmarks: the median within, as one unsteady benchmark must not widen the bounds of
        all others, and the mean between, moderated towards what is assumed."""
        within = [each for each in (layout.within for layout in layouts) if each.degrees]
        found = [layout.between.joined(other) for layout, other in zip(layouts, earlier, strict=True)]
        known = [each for each in found if each.degrees]
        # Benchmarks may have met the same sessions in the same way, so they are no more degrees than one of them.
        degrees = max((each.degrees for each in known), default=0.0)
        mean = float(np.mean([each.variance for each in known])) if known else 0.0
        medians = [each.variance / _median_of_chi(each.degrees) for each in within]
        return cls(
            within=float(np.median(medians)) if medians else 0.0,
            between=max(0.0, moderated(mean, degrees, ASSUMED_BETWEEN, ASSUMED_DEGREES)),
        )


def _median_of_chi(degrees: float) -> float:
    """The median of chi squared over its mean (Wilson and Hilferty 1931)."""
    return (1 - 2 / (9 * degrees)) ** 3


def _moderated(own: Component, shared: float) -> Component:
    joined = own.joined(Component(variance=shared, degrees=PRIOR_DEGREES))
    return Component(variance=max(joined.variance, 0.0), degrees=joined.degrees)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The components of one benchmark, and how many of each its baseline's centre holds."""

    within: Component
    between: Component
    baseline_within: float
    """Of the variance within, what is in the centre."""

    baseline_between: float
    """Of the variance between, what is in the centre."""

    @property
    def process(self) -> float:
        """Standard deviation of processes in one session."""
        return float(np.sqrt(self.within.variance))

    @property
    def session(self) -> float:
        """Standard deviation of sessions."""
        return float(np.sqrt(self.between.variance))

    def noisier(self, process: float) -> Spread:
        """The spread where processes lie apart by this standard deviation at least."""
        within = Component(variance=max(self.within.variance, process**2), degrees=self.within.degrees)
        return Spread(
            within=within,
            between=self.between,
            baseline_within=self.baseline_within,
            baseline_between=self.baseline_between,
        )

    def error(self, processes: int) -> tuple[float, float]:
        """Standard error of what so many processes of one session lie off the centre, and its degrees of freedom."""
        parts = [
            (self.within.variance * (location_variance(processes) + self.baseline_within), self.within.degrees),
            (self.between.variance * (1 + self.baseline_between), self.between.degrees),
        ]
        total = sum(variance for variance, _ in parts)
        if total <= 0:
            return 0.0, self.within.degrees
        degrees = total**2 / sum(variance**2 / max(known, 1.0) for variance, known in parts)
        return float(np.sqrt(total)), float(degrees)

    def bound(self, processes: int, rate: float) -> float:
        """What so many processes of unchanged code may lie off, at `rate` false alarms to each side."""
        error, degrees = self.error(processes)
        return t_quantile(1 - rate, degrees) * error
