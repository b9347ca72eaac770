"""From a measurement to pytest-benchmark, through what that documents: a timer, `pedantic`, `extra_info`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_attn.bench.measurement import BLOCK, Measurement
from pytest_attn.bench.samples import Samples


class Replay:
    """A timer for pytest-benchmark whose differences are seconds that our own clock measured before."""

    def __init__(self) -> None:
        self.__name__ = "none"
        self._readings: Iterator[float] = iter(())

    def load(self, measurement: Measurement) -> None:
        """Have the readings around each round of a measurement ready."""
        self.__name__ = measurement.clock
        calls = measurement.samples.kernel_calls
        self._readings = (reading for seconds in measurement.samples.kernel for reading in (0.0, seconds * calls))

    def __call__(self) -> float:
        """The next reading; 0 where there is none, as for a kernel that was not timed."""
        return next(self._readings, 0.0)


def store(benchmark: Any, replay: Replay, measurement: Measurement) -> None:
    """Have pytest-benchmark record a measurement: its rounds as raw times, the rest as `extra_info`."""
    replay.load(measurement)
    benchmark.extra_info.update(measurement.extra_info())
    samples = measurement.samples
    benchmark.pedantic(lambda: None, rounds=samples.rounds, iterations=samples.kernel_calls)


def store_more(benchmark: Any, later: Samples, measurement: Measurement) -> None:
    """Add the rounds of a later sitting to what pytest-benchmark recorded; `measurement` is that of all sittings."""
    for seconds in later.kernel:
        benchmark.stats.update(seconds * benchmark.stats.iterations)
    benchmark.extra_info.update(measurement.extra_info())


def store_nothing(benchmark: Any, error: BaseException | None = None) -> None:
    """Use pytest-benchmark's fixture, which warns where a test does not, without a result; raises `error` again."""

    def work() -> None:
        if error is not None:
            raise error
        return None

    # An exception of pytest is no Exception, which is what pytest-benchmark looks for.
    benchmark.has_error = error is not None
    benchmark.pedantic(work)


def keep_samples(benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    """Put the raw times of our measurements into a file that pytest-benchmark is about to write, asked or not:
    without them no later run can be compared with it."""
    stored = [bench for bench in benchmarks if not bench.has_error]
    for bench, entry in zip(stored, output_json["benchmarks"], strict=True):
        if BLOCK in entry["extra_info"]:
            entry["stats"]["data"] = list(bench.stats.data)
