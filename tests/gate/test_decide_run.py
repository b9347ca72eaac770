"""A run is decided: fresh processes are asked for only while something is open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from synthetic import Host, named

from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.decide_run import decide_run
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.records.benchmark_id import BenchmarkId

IDS = named(4)


class Again:
    """Fresh processes; notes what was asked of them."""

    def __init__(self, host: Host, slow: float) -> None:
        self.host = host
        self.slow = slow
        self.asked: list[frozenset[BenchmarkId]] = []

    def __call__(self, ids: frozenset[BenchmarkId]) -> Sequence[StoredRun]:
        self.asked.append(ids)
        return self.host.runs(Rule().confirmations, sorted(ids), slow=self.slow, complete=False)


@pytest.fixture
def host() -> Host:
    return Host(random=np.random.default_rng(11), drift=0.01, own=0.003, spikes=0.0, layout=0.002)


@pytest.fixture
def baseline(host: Host) -> Baseline:
    return Baseline.of(host.runs(8, IDS))


def test_unchanged_code_needs_no_fresh_process(host: Host, baseline: Baseline) -> None:
    again = Again(host, 0.0)
    assert {decision.word for decision in decide_run(baseline, host.run(IDS), again)} == {"same"}
    assert again.asked == []


def test_only_what_is_open_is_measured_again(host: Host, baseline: Baseline) -> None:
    again = Again(host, 0.2)
    found = decide_run(baseline, host.run(IDS, slow={IDS[1]: 0.2}), again)
    assert [decision.id for decision in found if decision.word == "slower"] == [IDS[1]]
    assert again.asked == [frozenset({IDS[1]})] * 2


def test_what_stays_open_is_looked_at_a_few_times_and_is_inconclusive(host: Host, baseline: Baseline) -> None:
    again = Again(host, 0.2)
    again.host = Host(random=np.random.default_rng(3), layout=0.5)
    found = decide_run(baseline, host.run(IDS, slow={IDS[1]: 0.2}), again)
    assert len(again.asked) <= Rule().looks
    assert {decision.word for decision in found if decision.id != IDS[1]} == {"same"}


def test_fresh_processes_that_never_come_leave_it_inconclusive(host: Host, baseline: Baseline) -> None:
    found = decide_run(baseline, host.run(IDS, slow={IDS[1]: 0.2}), lambda ids: [])
    assert [decision.word for decision in found if decision.id == IDS[1]] == ["inconclusive"]
