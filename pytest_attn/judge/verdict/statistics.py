"""The statistics of one result, and how they share its rate of false alarms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_attn.judge.verdict.false_alarms import FalseAlarms
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.judge.verdict.verdict import Verdict

Measure = Callable[[FalseAlarms, dict[str, float]], Finding | None]
"""Adds the figures of a statistic; a finding where it is over its limit at a rate."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number that errors of a correct kernel keep below a limit.

    `sees`: whether it could show, at a rate, what no other statistic of the result would show before it.
    """

    measure: Measure
    sees: Callable[[FalseAlarms], bool] = lambda alarms: True


def judged(statistics: Sequence[Statistic], alarms: FalseAlarms) -> Verdict:
    """The verdict of some statistics of one result, whose rate they share; one that is blind takes no part."""
    even = alarms.shared(len(statistics))
    seeing = [each for each in statistics if each.sees(even)]
    share = alarms.shared(len(seeing))
    figures: dict[str, float] = {}
    found = [each.measure(share, figures) for each in seeing]
    return Verdict(tuple(finding for finding in found if finding), figures)
