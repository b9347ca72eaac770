"""The fixture `attn_benchmark`: judges a kernel on a case and times it, within the test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pytest

from pytest_attn.plugin.attn import MEASUREMENT, RECORD, Attn
from pytest_attn.plugin.internals import Replay, enabled, store, store_failure, store_nothing
from pytest_attn.plugin.latency_tests import TOO_SLOW
from pytest_attn.plugin.selection import parameter_of
from pytest_attn.records.benchmark_id import BenchmarkId

if TYPE_CHECKING:
    from typing import Any

    from pytest_attn.bench.measurement import Measurement

ROUNDS = 32
"""Of a kernel and its control, in one process."""


class Timer(Protocol):
    """Where the times of a test come from; one of them stands on the config."""

    def measured(self, attn: Attn, rounds: int, cold: bool, memory: bool, item: pytest.Item) -> Measurement | None:
        """How fast the kernel is; None where this test is not the last that measures it. Fails the test where it cannot
        be measured."""

    def judges(self, item: pytest.Item) -> bool:
        """Whether the cell of this test is to be judged before."""

    def without_times(self, id: BenchmarkId, why: str) -> None:
        """Fails the test, in one sentence, where it must have times and has none. Its kernel is right."""

    def too_slow(self, id: BenchmarkId) -> str:
        """What is wrong with the speed of a benchmark, in one line; empty where nothing is."""


class TimedHere:
    """All rounds in the test itself: what a run without a gate does."""

    def judges(self, item: pytest.Item) -> bool:
        """Every test."""
        return True

    def measured(self, attn: Attn, rounds: int, cold: bool, memory: bool, item: pytest.Item) -> Measurement | None:
        """The measurement of one repetition. Raises whatever the kernel raises."""
        from pytest_attn.bench.measure import rounds_of_repetitions

        (all_of_them,) = rounds_of_repetitions(rounds, 1)
        return attn.measure(rounds=all_of_them, cold=cold, memory=memory)

    def without_times(self, id: BenchmarkId, why: str) -> None:
        """Fails every test."""
        __tracebackhide__ = True
        pytest.fail(why, pytrace=False)

    def too_slow(self, id: BenchmarkId) -> str:
        """Nothing is compared."""
        return ""


TIMER = pytest.StashKey[Timer]()
"""On the config: where times come from."""


class AttnBenchmark:
    """Judges one kernel on one case and, where it is right, times it; a test calls it once."""

    def __init__(self, attn: Attn, benchmark: Any, item: pytest.Function, replay: Replay, timer: Timer) -> None:
        self._attn = attn
        self._benchmark = benchmark
        self._item = item
        self._replay = replay
        self._timer = timer

    def __call__(self, *, rounds: int = ROUNDS, cold: bool = False, memory: bool = True) -> Measurement | None:
        """How fast the kernel is, which pytest-benchmark records; None under `--benchmark-disable`.

        `rounds` pairs of kernel and control; `cold`: caches emptied before every call; `memory`: peak memory, too. A
        kernel that is wrong fails the test and is not timed. Raises ValueError for an odd number of rounds and for less
        than 20.
        """
        __tracebackhide__ = True
        timed = enabled(self._benchmark)
        try:
            if self._timer.judges(self._item):
                self._attn.check()
            measurement = self._measured(rounds, cold, memory) if timed else None
        except BaseException as error:
            store_failure(self._benchmark, error)
            raise
        if measurement is None:
            store_nothing(self._benchmark)
            return None
        self._keep(measurement)
        if line := self._timer.too_slow(BenchmarkId(measurement.case, measurement.kernel)):
            self._item.stash[TOO_SLOW] = line
            pytest.fail(line, pytrace=False)
        return measurement

    @property
    def _id(self) -> BenchmarkId:
        cell = parameter_of(self._item)
        assert cell is not None
        return cell.benchmark

    def _measured(self, rounds: int, cold: bool, memory: bool) -> Measurement | None:
        __tracebackhide__ = True
        from pytest_attn.bench.clock_check import BlindClockError

        try:
            found = self._timer.measured(self._attn, rounds, cold, memory, self._item)
        except BlindClockError as error:
            self._timer.without_times(self._id, str(error))
            return None
        if found and (why := found.samples.unusable):
            # No statistics of them are stored, but a gate that reads the document decides what becomes of them.
            self._item.stash[MEASUREMENT] = found
            self._timer.without_times(self._id, f"{self._id}: {why}")
            return None
        return found

    def _keep(self, measurement: Measurement) -> None:
        record = self._item.stash.get(RECORD, None)
        if record is not None:
            spent, peak = dict(self._attn.seconds), measurement.peak_bytes
            self._item.stash[RECORD] = replace(record, seconds=spent, peak_bytes=peak)
        self._item.stash[MEASUREMENT] = measurement
        name = f"{self._item.originalname}[{measurement_label(self._item)}]"
        store(self._benchmark, self._replay, measurement, name, self._item.module.__name__)


def measurement_label(item: pytest.Function) -> str:
    """What stands in brackets behind the name of a test, without the number of a repetition."""
    return item.callspec.id.partition(REPETITION_WORD)[0]


REPETITION_WORD = "-repetition"
"""In the id of a test that runs several times: what its number follows."""
