"""What a baseline teaches: the level of each benchmark, its spread, and how far it follows the control."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import Host, named

from pytest_attn.gate.expectation import expectations


def test_a_kernel_that_follows_the_control_learns_a_large_share() -> None:
    found = expectations(Host(clock=0.05).runs(8, named(10)), 0.05)
    assert np.mean([each.theta for each in found.values()]) > 0.8


def test_a_kernel_that_ignores_the_control_learns_a_small_share() -> None:
    quiet = Host(drift=0.0)
    runs = quiet.runs(8, named(10))
    found = expectations(runs, 0.05)
    assert np.mean([each.theta for each in found.values()]) < 0.3


def test_shares_stay_between_none_and_all() -> None:
    found = expectations(Host().runs(5, named(20)), 0.05)
    assert all(0 <= each.theta <= 1 for each in found.values())


def test_the_learned_spread_is_that_of_processes() -> None:
    host = Host(drift=0.0, own=0.001, spikes=0.0, layout=0.01)
    found = expectations(host.runs(10, named(40)), 0.05)
    assert np.median([each.spread.process for each in found.values()]) == pytest.approx(0.01, rel=0.3)


def test_the_spread_of_one_benchmark_is_drawn_towards_that_of_all() -> None:
    ids = named(10)
    noisy = Host(layout=0.05)
    runs = [replace(run, benchmarks={**run.benchmarks, ids[0]: noisy.timing(ids[0])}) for run in Host().runs(5, ids)]
    found = expectations(runs, 0.05)
    assert found[ids[1]].spread.process < found[ids[0]].spread.process < 0.05


def test_unusable_times_and_noisy_machines_teach_nothing() -> None:
    host, ids = Host(), named(1)
    runs = host.runs(5, ids)
    bad = host.run(ids, slow=9.0, changes={"unusable": "1 times of the kernel are no times"})
    noisy = host.run(ids, slow=9.0, changes={"again": ((1.0, 2.0),) * 20})
    assert expectations([*runs, bad, noisy], 0.05) == expectations(runs, 0.05)
