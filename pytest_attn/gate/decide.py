"""From a baseline and the runs that are compared with it to a decision per benchmark.

A change that one process shows is as often its own memory layout, or the clock that it met. So what seems changed stays
open until fresh processes have measured it again, and is slower or faster only where these confirm it::

    the run shows                                         word               stage
      another machine, device or conditions               foreign
      nothing, though it was complete                     gone
      what the baseline does not have                     new
      times that cannot be                                suspicious
      a device that was throttled, or too few
        usable runs in the baseline                       inconclusive
      no change beyond the bound                          same
      a change                                            inconclusive       suspect                (open)
      bounds so wide that no number of processes helps    inconclusive
      noise, bounds too wide, or views that disagree      inconclusive       unclear                (open)

    fresh processes show of what was                                         suspect        unclear
      too few quiet ones to say anything                  inconclusive       suspect        unclear         (open)
      that change, or any of what was unclear
        in `fewest_to_change` processes or more           slower, faster     confirmed      confirmed
        in fewer                                          inconclusive       not confirmed  measured again  (open)
      noise, or a change that is not significant          inconclusive       not confirmed  measured again  (open)
      no change                                           same               not confirmed  measured again

What is open is measured again, `Rule.looks` times at most: see `decide_run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.comparison import Comparison, compare, smallest_detectable
from pytest_attn.gate.evidence import Evidence, Floors
from pytest_attn.gate.expectation import Expectation, why_unusable
from pytest_attn.gate.reasons import notes, why_inconclusive, why_never
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.statistics import discoveries
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.gate.timing import Timing
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision


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
    open ones alone. Raises ValueError for no candidate, and where two runs are from one process.
    """
    evidence = Evidence.of(baseline, candidate, confirmation, rule, floors)
    screened = [_screened(evidence, id) for id in evidence.ids]
    still = [each for each in screened if isinstance(each, _Open)]
    compared = len(still) + sum(isinstance(each, Decision) and each.word == "same" for each in screened)
    significant = _significant(still, compared, evidence.rule)
    decisions = [
        _settled(each, each.first.id in significant, evidence.rule) if isinstance(each, _Open) else each
        for each in screened
    ]
    return tuple(replace(decision, reproduce=command(decision.id)) for decision in decisions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """A benchmark that its run leaves open, and what fresh processes say of it."""

    first: Decision
    """The decision while these say nothing: `inconclusive`, and `suspect` or `unclear`."""

    direction: int
    """+1 where it seems slower, -1 faster, 0 where it is unclear."""

    again: Comparison | None
    """Of the fresh processes; None while too few of them met a quiet machine."""

    notes: str

    @property
    def changed(self) -> bool:
        """Whether the fresh processes show a change too, and the same one where the run showed one."""
        return self.again is not None and self.again.direction in ((self.direction,) if self.direction else (1, -1))

    @property
    def p_value(self) -> float:
        """Probability that unchanged code shows as much in fresh processes, on either side where no run showed one
        before; 1 where these show no change."""
        if self.again is None or not self.changed:
            return 1.0
        return min(1.0, self.again.p_value * (1 if self.direction else 2))


def _screened(evidence: Evidence, id: BenchmarkId) -> Decision | _Open:
    """What the run alone says of a benchmark."""
    expected, timings = evidence.baseline.expected.get(id), evidence.timings(id)
    old = expected.seconds if expected else None
    plain = Decision(id=id, word="inconclusive", old=old, new=_median(timings), floor=evidence.floor(id))
    if found := evidence.obstacle(id):
        word, reason = found
        return replace(plain, word=word, reason=reason)
    assert expected is not None
    quiet, why = _quiet(timings, plain.floor)
    if not quiet:
        return _opened(evidence, replace(plain, stage="unclear", reason=why), expected, 0)
    return _compared(evidence, plain, expected, quiet)


def _compared(
    evidence: Evidence, plain: Decision, expected: Expectation, timings: Sequence[Timing]
) -> Decision | _Open:
    """What timings on a quiet machine show against the baseline; a suspicion is cheap, so half of the floor raises
    one."""
    rule, floor = evidence.rule, plain.floor
    found = compare(expected, timings, floor * rule.suspect_share, rule.suspect_rate)
    told = notes(expected, timings, found)
    first = replace(plain, new=found.seconds, ratio=found.ratio, reason=told)
    if found.known:
        least = smallest_detectable(expected, found, floor, rule.alarms_per_look, rule.confirmations)
        first = replace(first, interval=found.interval, smallest_detectable=least)
    if found.direction < 0 and found.ratio < 1 / rule.collapse:
        why = f"{1 / found.ratio:.3g} times as fast as the baseline, so perhaps not doing its work"
        return replace(first, word="suspicious", reason=why)
    if found.direction:
        why = f"{'slower' if found.direction > 0 else 'faster'} in this run alone"
        return _opened(evidence, replace(first, stage="suspect", reason=why), expected, found.direction, told)
    if found.too_wide and not found.contested and (why := why_never(expected, floor, rule)):
        return replace(first, reason=why)
    if found.contested or found.too_wide:
        unclear = replace(first, stage="unclear", reason=why_inconclusive(found))
        return _opened(evidence, unclear, expected, 0, told)
    return replace(first, word="same")


def _opened(evidence: Evidence, first: Decision, expected: Expectation, direction: int, told: str = "") -> _Open:
    """What is suspect or unclear, beside what fresh processes say of it so far."""
    rule = evidence.rule
    timings, why = _quiet(evidence.again(first.id), first.floor)
    if len(timings) < rule.fewest_confirmations:
        lacking = f"measured again by {len(timings)} of {rule.confirmations} fresh processes"
        reason = ", ".join(filter(None, [first.reason, lacking, why]))
        return _Open(first=replace(first, reason=reason), direction=direction, again=None, notes=told)
    again = compare(expected, timings, first.floor, rule.alarms_per_look)
    return _Open(first=first, direction=direction, again=again, notes=told)


def _significant(found: Sequence[_Open], compared: int, rule: Rule) -> frozenset[BenchmarkId]:
    """Those of which fresh processes show a change that is no false alarm, among all that were compared.

    What the run itself showed is no reason to test fewer: the fresh processes share its session, and what that does to
    a benchmark they see as well.
    """
    rejected = discoveries([each.p_value for each in found] + [1.0] * (compared - len(found)), rule.alarms_per_look)
    return frozenset(each.first.id for each, is_change in zip(found, rejected, strict=False) if is_change)


def _settled(found: _Open, significant: bool, rule: Rule) -> Decision:
    """The decision once fresh processes have measured what was open, or as many as did."""
    again = found.again
    if again is None:
        return found.first
    changed = found.changed and significant
    decision = _measured_again(found, again)
    if not changed and (again.beyond_floor or again.contested or again.too_wide):
        return replace(decision, word="inconclusive", reason=why_inconclusive(again))
    told = [f"by {again.processes} fresh processes", *filter(None, [found.notes])]
    if not changed:
        return replace(decision, word="same", reason=", ".join(told))
    slower = again.direction > 0
    if again.processes < rule.fewest_to_change:
        word = "slower" if slower else "faster"
        why = f"{word} by {again.processes} fresh processes, {rule.fewest_to_change} are needed to call it so"
        return replace(decision, word="inconclusive", reason=why)
    if not slower:
        told.append("accept it lest a later slowdown hides behind it")
    return replace(decision, word="slower" if slower else "faster", stage="confirmed", reason=", ".join(told))


def _measured_again(found: _Open, again: Comparison) -> Decision:
    """The first decision with the figures of the fresh processes."""
    decision = replace(
        found.first,
        stage="not confirmed" if found.direction else "measured again",
        new=again.seconds,
        ratio=again.ratio,
    )
    if not again.known:
        return decision
    return replace(decision, interval=again.interval, smallest_detectable=again.smallest_detectable)


def _quiet(timings: Sequence[Timing], floor: float) -> tuple[list[Timing], str]:
    """The timings that met a quiet machine, and why the last of the others did not."""
    quiet, why = [], ""
    for timing in timings:
        noise = why_unusable(timing, floor)
        if noise:
            why = noise
        else:
            quiet.append(timing)
    return quiet, why


def _median(timings: Sequence[Timing]) -> float | None:
    times = [timing.median for timing in timings if not timing.unusable]
    return float(np.median(times)) if times else None
