"""A process that measures: it runs nothing but the tests that time a cell, each several times, spread over its life.

`measure_afresh` (`execution/isolation/fresh.py`) starts pytest with this plugin, under the command line of the run that
wants the times. Every repetition is a test of its own, with its fixtures set up anew; the last one has the
rounds of all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import pytest

from pytest_attn.bench.measurement import Measurement
from pytest_attn.execution.isolation.fresh import SETTINGS
from pytest_attn.plugin.attn import Attn
from pytest_attn.plugin.internals import BENCHMARK_OPTIONS
from pytest_attn.plugin.latency import REPETITION_WORD, TIMER
from pytest_attn.plugin.latency_tests import times_a_cell
from pytest_attn.plugin.selection import parameter_of
from pytest_attn.records.benchmark_id import BenchmarkId

REPETITION = "attn_repetition"
"""The fixture that a repeated test is parametrized with."""

TURNED_OFF = {
    **BENCHMARK_OPTIONS,
    "xmlpath": None,
    "htmlpath": None,
    "report_log": None,
    "basetemp": None,
    "maxfail": 0,
    "usepdb": False,
    "lf": False,
    "failedfirst": False,
}
"""Options of the run that wants the times, with what turns them off here: its files, and early ends."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for name, off in TURNED_OFF.items():
        if hasattr(config.option, name):
            setattr(config.option, name, off)
    asked = json.loads(os.environ[SETTINGS])
    wanted = asked["wanted"] and [BenchmarkId(case, kernel) for case, kernel in asked["wanted"]]
    repetitions = config.stash[TIMER] = Repetitions(asked["repetitions"], wanted, asked["memory"])
    config.pluginmanager.register(repetitions, "pytest_attn.repetitions")


class Repetitions:
    """Runs the wanted benchmarks so many times, and joins their rounds. `wanted` None is all; `memory` False saves the
    run for peak memory."""

    def __init__(self, repetitions: int, wanted: Sequence[BenchmarkId] | None = None, memory: bool = True) -> None:
        self._repetitions = repetitions
        self._wanted = None if wanted is None else frozenset(wanted)
        self._memory = memory
        self._until_now: dict[BenchmarkId, Measurement] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if REPETITION in metafunc.fixturenames:
            ids = [f"{REPETITION_WORD[1:]}{number}" for number in range(self._repetitions)]
            metafunc.parametrize(REPETITION, range(self._repetitions), ids=ids, indirect=True)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept = [item for item in items if self._runs(item)]
        left_out = [item for item in items if not self._runs(item)]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
        items[:] = sorted(kept, key=number_of)

    def _runs(self, item: pytest.Item) -> bool:
        cell = parameter_of(item)
        if not times_a_cell(item) or cell is None:
            return False
        return self._wanted is None or cell.benchmark in self._wanted

    def judges(self, item: pytest.Item) -> bool:
        """The first repetition, for all."""
        return number_of(item) == 0

    def measured(self, attn: Attn, rounds: int, cold: bool, memory: bool, item: pytest.Item) -> Measurement | None:
        """The measurement of all repetitions in the last one; None in the others."""
        from pytest_attn.bench.clock_check import BlindClockError
        from pytest_attn.bench.measure import rounds_of_repetitions

        __tracebackhide__ = True
        cell, number = parameter_of(item), number_of(item)
        assert cell is not None
        id = cell.benchmark
        these = rounds_of_repetitions(rounds, self._repetitions)[number]
        before = self._until_now.pop(id, None)
        if number and before is None:
            pytest.skip("an earlier repetition has no times")
        try:
            if before is None:
                found = attn.measure(rounds=these, cold=cold, memory=memory and self._memory)
            else:
                found = attn.measure_more(before, rounds=these, number=number)
        except BlindClockError:
            raise
        except Exception as error:
            attn.fail(f"repetition {number + 1}: the kernel raised {type(error).__name__}: {error}")
        if number + 1 == self._repetitions:
            return found
        self._until_now[id] = found
        return None

    def without_times(self, id: BenchmarkId, why: str) -> None:
        """Fails every test; what was measured goes into the document all the same, for the gate to decide."""
        __tracebackhide__ = True
        pytest.fail(why, pytrace=False)

    def too_slow(self, id: BenchmarkId) -> str:
        """Nothing is compared here."""
        return ""


def number_of(item: pytest.Item) -> int:
    """Which repetition a test is, from 0."""
    callspec = getattr(item, "callspec", None)
    return int(callspec.params.get(REPETITION, 0)) if callspec else 0
