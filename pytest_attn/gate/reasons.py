"""The reasons of a decision in words, where its figures do not say them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_attn.gate.baseline import difference
from pytest_attn.gate.comparison import Comparison
from pytest_attn.gate.expectation import Expectation
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.timing import Timing


def why_inconclusive(found: Comparison) -> str:
    """Why a comparison that is contested, or too wide, says nothing."""
    if found.too_wide:
        return f"unchanged code may show {np.expm1(found.shown.bound):.1%}, more than twice the floor"
    if found.control_shift:
        return f"the control itself took {np.expm1(found.control_shift):+.1%}, and its ratio and the time disagree"
    if found.beyond_floor and not found.contested:
        return f"beyond the floor, but unchanged code may show {np.expm1(found.shown.bound):.1%}"
    return "the rounds of this process spread too far to say which way it moved"


def why_never(expected: Expectation, floor: float, rule: Rule) -> str:
    """Why not even as many fresh processes as a run may start would tell, one sentence; empty where they may."""
    most = rule.looks * rule.confirmations
    bound = expected.spread.bound(most, rule.alarms_per_look)
    if bound <= np.log1p(2 * floor):
        return ""
    spread = expected.spread
    return (
        f"by its baseline, unchanged code may show {np.expm1(bound):.1%} in {most} processes, more than twice the "
        f"floor ({spread.process:.1%} between processes, {spread.session:.1%} between sessions)"
    )


def notes(expected: Expectation, timings: Sequence[Timing], found: Comparison) -> str:
    """What a reader should know of timings beside how far they lie off; empty where that is nothing."""
    told = []
    if found.control_shift:
        told.append(f"the control itself took {np.expm1(found.control_shift):+.1%}, so the ratio to it is judged")
    if not (expected.raw and all(timing.raw for timing in timings)):
        told.append("no raw times, so the floor alone decides")
    if why := difference(expected.versions, timings[-1].versions):
        told.append(why)
    if expected.source_hash and timings[-1].source_hash and expected.source_hash != timings[-1].source_hash:
        told.append("the kernel's source changed")
    if discarded := sum(timing.discarded for timing in timings):
        told.append(f"{discarded} rounds on a throttled device were discarded")
    return ", ".join(told)
