"""The fixture `attn_benchmark`, and which tests of latency run."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_attn.options.options import Options
from pytest_attn.plugin.fixtures import RECORD, Attn, parameter_of
from pytest_attn.plugin.replay import Replay, store, store_more, store_nothing

if TYPE_CHECKING:
    from pytest_attn.bench.measurement import Measurement
    from pytest_attn.bench.samples import Samples
    from pytest_attn.gate.gate import Mode

MEASUREMENT: pytest.StashKey[Measurement] = pytest.StashKey()
"""On a test item: what it measured."""

SLOWDOWN = "attn_slowdown"
"""The marker that gives one test its own floor."""

ROUNDS = 32
"""Of a kernel and its control, in all sittings together."""

SWEEP = "latency"
SUITE = "pytest_attn.suite.test_latency"
ALONE = "latency is measured by one process alone, not by xdist workers; allowed: the same command without -n (or -n0)"
ONLY = "benchmark_only"
COMPARE = "benchmark_compare"
STORAGE = "benchmark_storage"
"""pytest-benchmark's names of its options."""

DEFAULT_STORAGE = "file://./.benchmarks"

RECORDER_MISSING = (
    "attn_benchmark records through pytest-benchmark, which is not loaded; allowed: pytest without -p no:benchmark"
)


class Sittings:
    """The sittings that follow the first: after the last test every benchmark is timed again, and again."""

    def __init__(self) -> None:
        self._expected: list[tuple[pytest.Item, Any, Attn, list[int], bool]] = []

    def expect(self, item: pytest.Item, benchmark: Any, attn: Attn, rounds: list[int], cold: bool) -> None:
        """So many rounds in each later sitting."""
        self._expected.append((item, benchmark, attn, rounds, cold))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        result = yield
        for number in range(1, max((len(later) + 1 for *_, later, _ in self._expected), default=0)):
            for item, benchmark, attn, later, cold in self._expected:
                if benchmark.has_error or number > len(later):
                    continue
                before = item.stash[MEASUREMENT]
                samples, why = _sitting(attn, before.samples, later[number - 1], number, cold)
                if samples is None:
                    benchmark.has_error = True
                    del item.stash[MEASUREMENT]
                    _report_failure(item, f"sitting {number + 1}: {why}")
                    continue
                item.stash[MEASUREMENT] = replace(before, samples=before.samples.followed_by(samples))
                store_more(benchmark, samples, item.stash[MEASUREMENT])
        return result


def _sitting(attn: Attn, before: Samples, rounds: int, number: int, cold: bool) -> tuple[Samples | None, str]:
    """The samples of a later sitting; None and why, where there are none."""
    try:
        samples = attn.sit(rounds=rounds, number=number, cold=cold, before=before)
    except Exception as error:
        return None, f"the kernel raised {type(error).__name__}: {error}"
    return (None, f"noisy; {samples.unusable}") if samples.unusable else (samples, "")


def _report_failure(item: pytest.Item, line: str) -> None:
    report = pytest.TestReport(item.nodeid, item.location, {}, "failed", line, "call")
    item.ihook.pytest_runtest_logreport(report=report)


SITTINGS: pytest.StashKey[Sittings] = pytest.StashKey()
"""On the config of the process that measures."""


class AttnBenchmark:
    """Judges one kernel on one case and, where it is right, times it; a test calls it once."""

    def __init__(
        self, attn: Attn, benchmark: Any, item: pytest.Function, replay: Replay, sittings: Sittings | None
    ) -> None:
        self._sittings = sittings
        self._attn = attn
        self._benchmark = benchmark
        self._item = item
        self._replay = replay

    def __call__(self, *, rounds: int = ROUNDS, cold: bool = False, memory: bool = True) -> Measurement | None:
        """The measurement of the first sitting, which pytest-benchmark records; None under `--benchmark-disable`.

        `rounds` pairs of kernel and control in all sittings, the later ones after the last test; `cold`: caches emptied
        before every call; `memory`: peak memory, too. A kernel that is wrong fails the test and is not timed.
        """
        __tracebackhide__ = True
        try:
            self._attn.check()
            measurement: Measurement | None = None
            if self._benchmark.enabled:
                from pytest_attn.bench.clock_check import BlindClockError
                from pytest_attn.bench.measure import sittings

                first, *later = sittings(rounds)
                try:
                    measurement = self._attn.measure(rounds=first, cold=cold, memory=memory)
                except BlindClockError as error:
                    pytest.fail(str(error), pytrace=False)
                if why := measurement.samples.unusable:
                    pytest.fail(f"{measurement.case} [{measurement.kernel}]: noisy; {why}", pytrace=False)
        except BaseException as error:
            store_nothing(self._benchmark, error)
            raise
        if measurement is None:
            store_nothing(self._benchmark)
            return None
        self._item.stash[RECORD] = replace(self._item.stash[RECORD], seconds=dict(self._attn.seconds))
        self._benchmark.fullname = f"{self._item.module.__name__}::{self._item.name}"
        self._benchmark.params = {"kernel": measurement.kernel, "case": measurement.case}
        store(self._benchmark, self._replay, measurement)
        self._item.stash[MEASUREMENT] = measurement
        if self._sittings:
            self._sittings.expect(self._item, self._benchmark, self._attn, later, cold)
        return measurement


@pytest.fixture
def attn_benchmark(attn: Attn, benchmark: Any, request: pytest.FixtureRequest) -> AttnBenchmark:
    """One kernel on one case, to be timed: `attn_benchmark()` judges it first."""
    if hasattr(request.config, "workerinput"):
        pytest.fail(ALONE, pytrace=False)
    marker = request.node.get_closest_marker("benchmark")
    sittings = request.config.stash.get(SITTINGS, None)
    return AttnBenchmark(attn, benchmark, request.node, marker.kwargs["timer"], sittings)


def times_a_cell(item: pytest.Item) -> bool:
    """Whether a test uses `attn_benchmark`."""
    return "attn_benchmark" in getattr(item, "fixturenames", ())


def named(config: pytest.Config, options: Options) -> bool:
    """Whether the user named the sweep, or the module of its packaged tests."""
    home = Path(__file__).parent.parent / "suite" / "test_latency.py"
    modules = [argument.partition("::")[0] for argument in config.args]
    here = config.invocation_params.dir
    return SWEEP in options.sweep or any(module == SUITE or (here / module).resolve() == home for module in modules)


def asked(config: pytest.Config, options: Options) -> bool:
    """Whether the packaged tests of latency run: named, matched by a word of `-k`, or because `--benchmark-only`,
    `--benchmark-compare` or `--attn-gate` asks for times."""
    wanted = any(getattr(config.option, name, None) for name in (ONLY, COMPARE)) or options.gate != "off"
    return named(config, options) or "latency" in config.option.keyword or wanted


def select(
    items: list[pytest.Item], config: pytest.Config, options: Options
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """(wanted, not asked for): the packaged tests of latency run only where the user asked for them."""
    if asked(config, options):
        return items, []
    modules = [item.module.__name__ if isinstance(item, pytest.Function) else "" for item in items]
    wanted = [item for item, module in zip(items, modules, strict=True) if module != SUITE]
    return wanted, [item for item, module in zip(items, modules, strict=True) if module == SUITE]


def refuse_workers(config: pytest.Config, options: Options) -> None:
    """Raises ValueError where tests of latency that the user named, or whose times are to be compared, would be dealt
    out to xdist workers; others fail there, each with the same sentence."""
    if config.getoption("dist", "no") == "no":
        return
    if comparison(config, options):
        raise ValueError(f"--attn-gate: times are not compared under xdist; {ALONE}")
    if named(config, options):
        raise ValueError(ALONE)


def prepare(config: pytest.Config, options: Options, items: Iterable[pytest.Item]) -> None:
    """Give every test that times a cell the timer that it records with, and a group: the kernels of one case, or the
    cases of one test. Raises ValueError where pytest-benchmark is not loaded."""
    for item in items:
        if not times_a_cell(item):
            continue
        if not config.pluginmanager.has_plugin("pytest-benchmark"):
            raise ValueError(RECORDER_MISSING)
        given = item.get_closest_marker("benchmark")
        cell = parameter_of(item)
        group = cell.case.id if cell and len(options.kernel) > 1 else item.name.partition("[")[0]
        wanted = {"group": group, **(given.kwargs if given else {}), "timer": Replay()}
        item.add_marker(pytest.mark.benchmark(**wanted), append=False)


def drop_failed(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep what a test measured before it failed out of the files that pytest-benchmark writes."""
    if report.failed and times_a_cell(item):
        benchmark = getattr(item, "funcargs", {}).get("benchmark")
        if benchmark is not None:
            benchmark.has_error = True


def comparison(config: pytest.Config, options: Options) -> Mode | None:
    """How speed is compared: as `--attn-gate` says, else `report` where pytest-benchmark compares; None where not."""
    if "gate" in options.given:
        return None if options.gate == "off" else options.gate
    return "report" if getattr(config.option, COMPARE, None) else None


def compare_with(config: pytest.Config, folder: Path) -> None:
    """Let pytest-benchmark compare with the baselines of this machine, where there are any and the user named no
    storage."""
    if getattr(config.option, STORAGE, None) == DEFAULT_STORAGE and folder.is_dir():
        setattr(config.option, STORAGE, f"file://{folder}")
