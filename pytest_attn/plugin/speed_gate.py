"""The gate inside pytest: what was measured is compared with the baseline once all of it is, and a slower kernel fails
its own test."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol  # pytest has no public way to hold the reports of a test back

from pytest_attn.execution.isolation.fresh import measure_afresh
from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.decide_run import decide_run
from pytest_attn.gate.gate import Gate, Mode, RunFacts
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.run_file import parse_run, read_run
from pytest_attn.gate.store import Store
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.options.options import OPTIONS
from pytest_attn.options.values import parse_slowdown
from pytest_attn.plugin.fixtures import parameter_of
from pytest_attn.plugin.latency import MEASUREMENT, SLOWDOWN, times_a_cell
from pytest_attn.plugin.origin import Origin
from pytest_attn.plugin.run import Run
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision
from pytest_attn.report.speed import decision_lines

if TYPE_CHECKING:
    from pytest_attn.bench.measurement import Measurement

PASSED_ON = ("kernel", "device", "seed", "budget", "tolerance", "cache")
"""Options of this run that decide what a fresh process measures; those of the ini file it reads itself."""


@dataclass(frozen=True)
class Timed:
    """A test that timed a cell, with the reports that wait for the gate."""

    item: pytest.Item
    reports: list[pytest.TestReport]

    @property
    def measurement(self) -> Measurement | None:
        """What it measured; None where it failed or was skipped."""
        passed = all(report.passed for report in self.reports)
        return self.item.stash.get(MEASUREMENT, None) if passed else None

    @property
    def id(self) -> BenchmarkId | None:
        """What it is compared by."""
        found = self.measurement
        return BenchmarkId(found.case, found.kernel) if found else None


class SpeedGate:
    """What one run measured, and what became of it."""

    def __init__(self, config: pytest.Config, run: Run, origin: Origin, mode: Mode) -> None:
        self._config = config
        self._run = run
        self._origin = origin
        self._mode = mode
        self._rule = Rule(floor=run.options.slowdown)
        self._timed: list[Timed] = []
        self._floors: dict[pytest.Item, float] = {}
        self._orphans: list[Decision] = []
        """Failing decisions that no test of this run stands for."""
        self.gate: Gate | None = None
        self._baseline: Baseline | None = None

    def read_baseline(self) -> None:
        """Read the baseline before anything is measured. Raises ValueError, one sentence, where it is damaged."""
        self._baseline = Store(self._run.baselines / self._run.machine).baseline(self._rule)

    def read_floors(self, items: Iterable[pytest.Item]) -> None:
        """Read the markers of the tests that time a cell. Raises ValueError for one that says nothing."""
        self._floors = {item: floor for item in items if times_a_cell(item) and (floor := floor_of(item)) is not None}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not times_a_cell(item):
            return None
        timed = Timed(item, runtestprotocol(item, log=False, nextitem=nextitem))
        self._timed.append(timed)
        if timed.measurement is None or self._mode == "report":
            _release(timed)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        try:
            result = yield
        except BaseException:
            # Ended early: nothing is decided, and nothing that was found out is lost.
            self._origin.complete = False
            self._release_all(())
            raise
        if not session.config.option.collectonly:
            self.gate = self._decided()
            self._release_all(self.gate.failing)
            self._fail_what_has_no_test()
        return result

    def summary(self) -> list[str]:
        """The lines at the end; none where nothing was compared."""
        if self.gate is None or (self.gate.mode == "report" and not self._timed):
            return []
        return decision_lines(self.gate)

    def as_dict(self) -> dict[str, Any] | None:
        """What is decided, as plain data; None where nothing is."""
        return None if self.gate is None else {"machine": self._run.machine, **self.gate.as_dict()}

    def _decided(self) -> Gate:
        measured = [timed for timed in self._timed if timed.measurement]
        decisions: Sequence[Decision] = ()
        if measured and self._baseline is not None:
            decisions = self._decisions(self._baseline, measured)
        facts = RunFacts(
            collected=len(self._timed),
            measured=len(measured),
            skipped=sum(any(report.skipped for report in timed.reports) for timed in self._timed),
            failed=sum(any(report.failed for report in timed.reports) for timed in self._timed),
            disabled=_disabled(self._config),
            baseline=self._baseline is not None,
        )
        return Gate.of(self._mode, decisions, facts)

    def _decisions(self, baseline: Baseline, measured: Sequence[Timed]) -> Sequence[Decision]:
        floors = {timed.id: self._floors[timed.item] for timed in measured if timed.id and timed.item in self._floors}
        nodes = {timed.id: self._node(timed.item) for timed in measured}
        words = ["python", "-m", "pytest", *self._flags(), "--attn-gate=strict"]

        def reproduce(id: BenchmarkId) -> str:
            return shlex.join([*words, nodes[id]]) if id in nodes else ""

        def measure_again(ids: frozenset[BenchmarkId]) -> list[StoredRun]:
            return self._measured_again([timed.item for timed in measured if timed.id in ids])

        run = self._candidate(measured)
        found = decide_run(baseline, run, measure_again, rule=self._rule, floors=floors, command=reproduce)
        return [each for each in found if each.word != "gone" or self._misses(each.id)]

    def _misses(self, id: BenchmarkId) -> bool:
        """Whether a benchmark of the baseline was asked for and has no test here; one that failed has."""
        tested = {(cell.case.id, cell.kernel) for timed in self._timed if (cell := parameter_of(timed.item))}
        return id.kernel in self._run.options.kernel and id not in tested

    def _candidate(self, measured: Sequence[Timed]) -> StoredRun:
        """This run as a file of it would be read."""
        entries = [
            {"stats": {"data": [*found.samples.kernel]}, "extra_info": found.extra_info()}
            for timed in measured
            if (found := timed.measurement)
        ]
        when = datetime.now(UTC).isoformat()
        document = {"datetime": when, "benchmarks": entries, "attn": self._origin.block()}
        return parse_run(json.dumps(document).encode(), "this run")

    def _measured_again(self, items: Sequence[pytest.Item]) -> list[StoredRun]:
        if not items:
            return []
        arguments = [*self._flags(), *(self._node(item) for item in items)]
        if self._config.inipath:
            arguments += ["-c", str(self._config.inipath)]
        arguments.append(f"--rootdir={self._config.rootpath}")
        runs = []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(self._rule.confirmations):
                file = Path(folder) / f"{number}.json"
                fresh = measure_afresh(arguments, file, self._config.invocation_params.dir)
                if fresh.file is not None:
                    runs.append(read_run(fresh.file))
        return runs

    def _flags(self) -> list[str]:
        given = {option.flag: self._config.getoption(option.flag) for option in OPTIONS if option.name in PASSED_ON}
        texts = {flag: value if isinstance(value, list) else [value] for flag, value in given.items() if value}
        return [f"{flag}={text}" for flag, values in texts.items() for text in values]

    def _node(self, item: pytest.Item) -> str:
        # A node id is relative to a folder that depends on the command line; the file is not.
        return f"{item.path}::{item.nodeid.partition('::')[2]}"

    def _release_all(self, failing: Sequence[Decision]) -> None:
        wrong = {decision.id: decision for decision in failing}
        for timed in self._timed:
            if self._mode != "strict" or timed.measurement is None:
                continue
            decision = wrong.pop(timed.id, None) if timed.id else None
            if decision is not None:
                _fail(timed, decision.line)
            _release(timed)
        self._orphans = [*wrong.values()]

    def _fail_what_has_no_test(self) -> None:
        """Failures that no test stands for: a benchmark that is gone, and what is wrong with the run as a whole."""
        assert self.gate is not None
        if self.gate.mode != "strict":
            return
        told = [(f"{decision.word}: {decision.id}", decision.line) for decision in self._orphans]
        told += [("the run", sentence) for sentence in self.gate.run_failures]
        for name, line in told:
            report = pytest.TestReport(
                nodeid=f"attn-gate::{name}",
                location=("attn-gate", None, name),
                keywords={},
                outcome="failed",
                longrepr=line,
                when="call",
            )
            self._config.hook.pytest_runtest_logreport(report=report)


def floor_of(item: pytest.Item) -> float | None:
    """The slowdown that matters to a test with a marker of its own; None where it has none.

    Raises ValueError naming the marker, the value and what is allowed.
    """
    marker = item.get_closest_marker(SLOWDOWN)
    if marker is None:
        return None
    try:
        return parse_slowdown(*(str(argument) for argument in marker.args))
    except (ValueError, TypeError) as error:
        why = error if isinstance(error, ValueError) else "takes one value, such as '10%'"
        raise ValueError(f"{item.nodeid}: marker {SLOWDOWN}: {why}") from None


def _disabled(config: pytest.Config) -> bool:
    return bool(getattr(config.option, "benchmark_disable", False) or getattr(config.option, "benchmark_skip", False))


def _fail(timed: Timed, line: str) -> None:
    call = next(report for report in timed.reports if report.when == "call")
    call.outcome = "failed"
    call.longrepr = line


def _release(timed: Timed) -> None:
    item = timed.item
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in timed.reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
