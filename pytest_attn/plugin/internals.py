"""What pytest and pytest-benchmark have no public way for: the only file that touches what they do not document.

Of pytest: where a fixture was defined, what a report shows of a failure, which reports are listed at the end. Of
pytest-benchmark: fields of its fixture (`disabled`, `has_error`, `name`, `fullname`, `params`), of its statistics
(`data`), and the names of its options. Times reach it through what it documents: a timer, `pedantic`, `extra_info`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_attn.bench.measurement import Measurement

BENCHMARK_OPTIONS: Mapping[str, object] = {
    "benchmark_autosave": False,
    "benchmark_save": None,
    "benchmark_compare": None,
    "benchmark_compare_fail": None,
    "benchmark_histogram": None,
    "benchmark_cprofile": None,
}
"""pytest-benchmark's options that write or compare, by the names they have on the config, with what turns them off."""

DEFAULT_STORAGE = "file://./.benchmarks"


def defined_in(metafunc: pytest.Metafunc, fixture: str) -> str:
    """The module that defines a fixture as the test sees it; empty where no fixture of that name is defined."""
    definitions = metafunc._arg2fixturedefs.get(fixture)
    return definitions[-1].func.__module__ if definitions else ""


def failure_of(message: str, cause: str) -> object:
    """What a report shows of a failed test: the message as it stands, and in lines of one the cause. Goes through
    xdist."""
    from _pytest._code.code import ReprExceptionInfo, ReprFileLocation, ReprTracebackNative

    return ReprExceptionInfo(ReprTracebackNative([f"{message}\n"]), ReprFileLocation("", 0, cause))


def leave_out_failures(reporter: pytest.TerminalReporter) -> None:
    """Keep pytest from listing failed tests at the end, where the user did not ask for that."""
    if reporter.config.option.reportchars == "fE":
        reporter.reportchars = reporter.reportchars.replace("f", "")


def comparing(config: pytest.Config) -> bool:
    """Whether pytest-benchmark compares with stored runs (`--benchmark-compare`)."""
    return bool(getattr(config.option, "benchmark_compare", None))


def only_benchmarks(config: pytest.Config) -> bool:
    """Whether tests without a benchmark are skipped (`--benchmark-only`)."""
    return bool(getattr(config.option, "benchmark_only", None))


def benchmarks_disabled(config: pytest.Config) -> bool:
    """Whether nothing is timed (`--benchmark-disable`, `--benchmark-skip`)."""
    return any(getattr(config.option, f"benchmark_{name}", False) for name in ("disable", "skip"))


def compare_with(config: pytest.Config, folder: Path) -> None:
    """Let pytest-benchmark compare with the runs in a folder, where that is there and the user named no storage."""
    if getattr(config.option, "benchmark_storage", None) == DEFAULT_STORAGE and folder.is_dir():
        config.option.benchmark_storage = f"file://{folder}"


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


def enabled(benchmark: Any) -> bool:
    """Whether pytest-benchmark's fixture times anything."""
    return not benchmark.disabled


def store(benchmark: Any, replay: Replay, measurement: Measurement, name: str, module: str) -> None:
    """Have pytest-benchmark record a measurement: its rounds as raw times, the rest as `extra_info`."""
    benchmark.name, benchmark.fullname = name, f"{module}::{name}"
    benchmark.params = {"kernel": measurement.kernel, "case": measurement.case}
    replay.load(measurement)
    benchmark.extra_info.update(measurement.extra_info())
    samples = measurement.samples
    benchmark.pedantic(lambda: None, rounds=samples.rounds, iterations=samples.kernel_calls)


def store_nothing(benchmark: Any) -> None:
    """Use pytest-benchmark's fixture, which warns where a test does not, without a result."""
    benchmark.disabled = True
    benchmark.pedantic(lambda: None)


def store_failure(benchmark: Any, error: BaseException) -> None:
    """Have pytest-benchmark know of a benchmark that has no times; raises `error` again."""

    def fail() -> None:
        raise error

    # An exception of pytest is no Exception, which is what pytest-benchmark looks for.
    benchmark.has_error = True
    benchmark.pedantic(fail)


def forget(benchmark: Any) -> None:
    """Keep what was recorded out of the files that pytest-benchmark writes."""
    benchmark.has_error = True


def keep_samples(benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    """Put the raw times of our measurements into a file that pytest-benchmark is about to write, asked or not:
    without them no later run can be compared with it."""
    from pytest_attn.bench.measurement import BLOCK

    stored = [bench for bench in benchmarks if not bench.has_error]
    for bench, entry in zip(stored, output_json["benchmarks"], strict=True):
        if BLOCK in entry["extra_info"]:
            entry["stats"]["data"] = list(bench.stats.data)
