"""The rule under synthetic noise of a shared machine: how often it errs, and what it finds.

Drift of 3 % that kernel and control share, 1.5 % of each measurement, 5 % of spikes, 0.8 % of layout per process; 20
rounds, six runs in the baseline, one process that is compared and three or more that confirm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from synthetic import Host, named

from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.decide_run import decide_run
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision

Slow = float | Mapping[BenchmarkId, float]
IDS = named(50)
RUNS = 4


def decided(host: Host, baseline: Baseline, slow: Slow = 0.0, load: float = 0.0) -> tuple[Decision, ...]:
    """The decisions on a run of code that is `slow` slower, in fresh processes too."""

    def again(ids: frozenset[BenchmarkId]) -> list[StoredRun]:
        return host.runs(Rule().confirmations, sorted(ids), slow=slow, load=load, complete=False)

    return decide_run(baseline, host.run(IDS, slow=slow, load=load), again)


def counted(hosts: Iterable[Host], *, slow: float = 0.0, load: float = 0.0) -> Counter[str]:
    """Words of RUNS x 50 decisions, each run with a baseline of its own."""
    found: Counter[str] = Counter()
    for host in hosts:
        decisions = decided(host, Baseline.of(host.runs(6, IDS)), slow, load)
        found.update(decision.word for decision in decisions)
        found["measured again"] += sum(bool(decision.stage) for decision in decisions)
    return found


def shared(seed: int, **noise: float) -> list[Host]:
    return [Host(random=np.random.default_rng([seed, number]), **noise) for number in range(RUNS)]


def test_two_hundred_decisions_on_unchanged_code_raise_no_alarm() -> None:
    found = counted(shared(1))
    assert found["slower"] == found["faster"] == 0
    assert found["same"] >= 196
    # What costs time, three processes at a time.
    assert found["measured again"] <= 0.25 * RUNS * len(IDS)


def test_a_run_at_another_clock_rate_raises_no_alarm() -> None:
    found = counted(shared(2, clock=0.05))
    assert found["slower"] == 0


@pytest.mark.parametrize(("slow", "least"), [(0.10, 0.95), (0.07, 0.80)])
def test_a_slowdown_of_every_kernel_is_found_as_often_as_promised(slow: float, least: float) -> None:
    assert counted(shared(3), slow=slow)["slower"] >= least * RUNS * len(IDS)


def test_a_slowdown_below_the_floor_is_nobodys_business() -> None:
    assert counted(shared(4), slow=0.02)["slower"] == 0


def test_a_machine_that_is_slower_altogether_slows_no_kernel() -> None:
    found = counted(shared(5), load=0.4)
    assert found["slower"] == 0
    assert found["same"] >= 190


def test_the_smallest_detectable_slowdown_is_found_in_four_of_five_runs_or_more() -> None:
    found = stated = 0
    for host in shared(6, layout=0.015):
        baseline = Baseline.of(host.runs(6, IDS))
        least = {each.id: each.smallest_detectable or 0.0 for each in decided(host, baseline)}
        stated += len(least)
        found += sum(decision.word == "slower" for decision in decided(host, baseline, least))
    assert found / stated >= 0.75
