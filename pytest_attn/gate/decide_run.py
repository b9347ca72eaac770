"""A run is compared with the baseline, and what seems changed is measured again until it is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.decide import decide, reproduce
from pytest_attn.gate.evidence import Floors
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision

MeasureAgain = Callable[[frozenset[BenchmarkId]], Sequence[StoredRun]]
"""Runs of `Rule.confirmations` fresh processes that hold these benchmarks at least."""


def decide_run(
    baseline: Baseline,
    run: StoredRun,
    measure_again: MeasureAgain,
    *,
    rule: Rule | None = None,
    floors: Floors | None = None,
    command: Callable[[BenchmarkId], str] = reproduce,
) -> tuple[Decision, ...]:
    """A decision for every benchmark; see `decide`. Fresh processes are asked for only while one is open, and
    `Rule.looks` times at most."""
    rule = rule or Rule()
    again: list[StoredRun] = []
    found = decide(baseline, [run], rule=rule, floors=floors, command=command)
    for _ in range(rule.looks):
        still = frozenset(decision.id for decision in found if decision.open)
        if not still:
            break
        again += measure_again(still)
        found = decide(baseline, [run], again, rule=rule, floors=floors, command=command)
    return found
