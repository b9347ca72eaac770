"""What a machine does to a benchmark from session to session is learned, and raises no alarm.

Drift of 1 % that kernel and control share, 1.5 % of each measurement, 0.8 % of layout per process; 20 rounds; a
baseline of five sessions of three processes; a later run and the processes that confirm are of one other session.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from synthetic import Host, named

from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.decide_run import decide_run
from pytest_attn.gate.expectation import expectations, sessions_of
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.spread import ASSUMED_BETWEEN, Component

IDS = named(20)
RUNS = 4


def host(session: float, seed: int) -> Host:
    return Host(drift=0.01, session=session, random=np.random.default_rng([seed, int(1e4 * session)]))


def counted(session: float, slow: float = 0.0, sessions: int = 5, processes: int = 3) -> Counter[str]:
    """Words of RUNS runs, each against a baseline of its own."""
    found: Counter[str] = Counter()
    for seed in range(RUNS):
        machine = host(session, seed)
        baseline = Baseline.of(machine.sessions(sessions, processes, IDS))

        def again(ids: frozenset[object], machine: Host = machine) -> list[object]:
            return machine.runs(Rule().confirmations, sorted(ids), slow=slow, complete=False)

        found.update(each.word for each in decide_run(baseline, machine.run(IDS, slow=slow), again))
    return found


@pytest.mark.parametrize("session", [0.0, 0.01, 0.02, 0.03])
def test_unchanged_code_raises_no_alarm_whatever_sessions_do(session: float) -> None:
    found = counted(session)
    assert found["slower"] + found["faster"] == 0


@pytest.mark.parametrize(("session", "least"), [(0.0, 0.95), (0.01, 0.9)])
def test_a_slowdown_of_ten_percent_is_found_where_sessions_differ_little(session: float, least: float) -> None:
    assert counted(session, slow=0.10)["slower"] >= least * RUNS * len(IDS)


def test_the_component_between_sessions_is_learned() -> None:
    found = expectations(host(0.03, 1).sessions(5, 3, named(40)), 0.05)
    assert np.median([each.spread.session for each in found.values()]) == pytest.approx(0.03, rel=0.35)


def test_the_component_within_sessions_is_not_that_of_all_processes() -> None:
    found = expectations(host(0.03, 2).sessions(5, 4, named(40)), 0.05)
    assert np.median([each.spread.process for each in found.values()]) < 0.015


def test_one_session_leaves_what_is_assumed() -> None:
    found = expectations(Host().runs(10, IDS), 0.05)
    assert {round(each.spread.between.variance, 12) for each in found.values()} == {round(ASSUMED_BETWEEN, 12)}


def test_sessions_of_earlier_baselines_count_on() -> None:
    runs = Host().runs(10, IDS)
    earlier = {id: Component(variance=0.03**2, degrees=20.0) for id in IDS}
    found = expectations(runs, 0.05, earlier)
    assert all(0.02 < each.spread.session < 0.03 for each in found.values())


def test_one_session_says_nothing_for_later_baselines() -> None:
    assert all(each.degrees == 0 for each in sessions_of(Host().runs(10, IDS), 0.05).values())


def test_more_processes_of_one_session_do_not_average_it_away() -> None:
    found = expectations(host(0.03, 3).sessions(5, 3, IDS), 0.05)
    errors = [each.spread.error(1000)[0] for each in found.values()]
    assert np.median(errors) > 0.025


def test_what_no_number_of_processes_can_tell_is_not_measured_again() -> None:
    machine = host(0.06, 4)
    baseline = Baseline.of(machine.sessions(5, 3, IDS))
    # This session lies where those of the baseline do on average, so that no change is suspected.
    machine.effects.update(dict.fromkeys(IDS, 0.0))
    asked: list[frozenset[object]] = []

    def again(ids: frozenset[object]) -> list[object]:
        asked.append(ids)
        return machine.runs(3, sorted(ids), complete=False)

    found = decide_run(baseline, machine.run(IDS), again)
    never = {each.id for each in found if "by its baseline, unchanged code may show" in each.reason}
    assert len(never) >= 3
    assert {each.word for each in found if each.id in never} == {"inconclusive"}
    assert not any(never & ids for ids in asked)
