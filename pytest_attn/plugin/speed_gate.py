"""The gate in pytest: fresh processes measure before the first test runs, a decision is made of their documents, and a
kernel that is slower than its baseline fails its own test.

So every timed call happens within a test, every test is reported once, and nothing waits for the end of the run.
"""

from __future__ import annotations

import shlex
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import pytest

from pytest_attn.bench.measurement import Measurement
from pytest_attn.execution.isolation.fresh import REPETITIONS, FreshRun, measure_afresh
from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.decide_run import decide_run
from pytest_attn.gate.gate import Gate, Mode, RunFacts, worst_first
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.store import Store
from pytest_attn.gate.stored_run import StoredRun, stored_run
from pytest_attn.gate.streaks import Streaks, keep_streaks, read_streaks
from pytest_attn.options.flags import OPTIONS
from pytest_attn.options.values import parse_slowdown
from pytest_attn.plugin.attn import MEASUREMENT, Attn
from pytest_attn.plugin.completeness import Completeness
from pytest_attn.plugin.internals import benchmarks_disabled
from pytest_attn.plugin.latency import TimedHere
from pytest_attn.plugin.latency_tests import times_a_cell
from pytest_attn.plugin.marks import SLOWDOWN
from pytest_attn.plugin.run import Run
from pytest_attn.plugin.selection import parameter_of
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision
from pytest_attn.records.document import Document, read_document
from pytest_attn.records.record import Record
from pytest_attn.report.speed import decision_lines

PASSED_ON = ("kernel", "device", "seed", "budget", "tolerance", "cache", "sweep", "axis", "case")
"""Options of this run that a command which shows one benchmark again needs."""


class SpeedGate:
    """What fresh processes measured, and what became of it. It is the timer of the tests of its run."""

    def __init__(self, config: pytest.Config, run: Run, whole: Completeness, mode: Mode) -> None:
        self._config = config
        self._run = run
        self._whole = whole
        self._mode = mode
        self._rule = Rule(floor=run.options.slowdown)
        self._here = TimedHere()
        self._items: dict[BenchmarkId, pytest.Item] = {}
        self._node_ids: set[str] = set()
        self._floors: dict[BenchmarkId, float] = {}
        self._outcomes: Counter[str] = Counter()
        self._measured: dict[BenchmarkId, Measurement] = {}
        self._failed: dict[BenchmarkId, Record] = {}
        self._decisions: tuple[Decision, ...] = ()
        self._baseline: Baseline | None = None
        self._why_not_measured = ""
        self._fault = ""
        self.gate: Gate | None = None
        """What the gate says, once all tests have run."""

    def read_baseline(self) -> None:
        """Read the baseline before anything is measured. Raises ValueError, one sentence, where it is damaged; a report
        says so at its end, as it fails nothing."""
        try:
            self._baseline = Store(self._folder).baseline(self._rule)
        except ValueError as error:
            if self._mode == "strict":
                raise
            self._fault = str(error)

    @property
    def _folder(self) -> Path:
        """Of this machine's baselines."""
        return self._run.baselines / self._run.machine

    def read_tests(self, items: Iterable[pytest.Item]) -> None:
        """Note the tests that time a cell, with their markers. Raises ValueError for a marker that says nothing, and
        where two tests time the same benchmark."""
        for item in items:
            cell = parameter_of(item)
            if not times_a_cell(item) or cell is None:
                continue
            id = cell.benchmark
            if id in self._items:
                both = f"{self._items[id].nodeid} and {item.nodeid}"
                raise ValueError(f"--attn-gate: {both} time the same benchmark; allowed: one test for each")
            self._items[id] = item
            self._node_ids.add(item.nodeid)
            floor = floor_of(item)
            if floor is not None:
                self._floors[id] = floor

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        stopped = session.testsfailed and not session.config.option.continue_on_collection_errors
        if session.config.option.collectonly or stopped:
            return (yield)
        if self._baseline is not None and self._items and not benchmarks_disabled(self._config):
            self._decide(self._baseline)
        try:
            result = yield
        except BaseException:
            # Ended early: what is decided stays so, and nobody knows what the rest of the run would have lacked.
            self.gate = self._of_decisions()
            raise
        self._finish()
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed" and report.nodeid in self._node_ids:
            self._outcomes[report.outcome] += 1

    def judges(self, item: pytest.Item) -> bool:
        """Every test: its verdict is that of this run, too."""
        return True

    def measured(self, attn: Attn, rounds: int, cold: bool, memory: bool, item: pytest.Item) -> Measurement | None:
        """What a fresh process measured of the benchmark; without a baseline, what is measured here. Fails the test
        where the process has no times of it."""
        from pytest_attn.bench.measure import rounds_of_repetitions

        __tracebackhide__ = True
        rounds_of_repetitions(rounds, REPETITIONS)
        cell = parameter_of(item)
        assert cell is not None
        id = cell.benchmark
        if id in self._measured:
            return self._measured[id]
        if id in self._failed:
            attn.fail(self._failed[id].reason)
        if self._baseline is not None and self._mode == "strict":
            # Times that nothing was compared with must not pass.
            attn.fail(f"not measured: {self._why_not_measured or 'the process that measures has no times of it'}")
        return self._here.measured(attn, rounds, cold, memory, item)

    def without_times(self, id: BenchmarkId, why: str) -> None:
        """Fails the test under a strict gate, unless it is decided that it passes; a report fails nothing."""
        __tracebackhide__ = True
        decided = any(decision.id == id for decision in self._decisions)
        if self._mode == "strict" and (line := self.too_slow(id) if decided else why):
            pytest.fail(line, pytrace=False)

    def too_slow(self, id: BenchmarkId) -> str:
        """The decision that a strict gate fails a benchmark on, in one line; empty where there is none."""
        return next((decision.line for decision in self._of_decisions().failing if decision.id == id), "")

    @property
    def headline(self) -> list[str]:
        """What stands above all else in a summary: that the run decided nothing of speed, where it did not."""
        return [self.gate.undecided] if self.gate and self.gate.undecided else []

    def summary(self) -> list[str]:
        """The lines at the end; none where nothing was compared."""
        if self.gate is None or (self.gate.mode == "report" and not self._items):
            return []
        return decision_lines(self.gate)

    def _decide(self, baseline: Baseline) -> None:
        """Have a fresh process measure all benchmarks, and others again those that seem to have changed."""

        def command(id: BenchmarkId) -> str:
            words = ["python", "-m", "pytest", *self._flags(), "--attn-gate=strict"]
            return shlex.join([*words, self._node(self._items[id])]) if id in self._items else ""

        document = self._document_of(frozenset(self._items), memory=True)
        if document is None:
            return
        self._measured = {BenchmarkId(each.case, each.kernel): each for each in document.measurements}
        self._failed = {BenchmarkId(each.case, each.kernel): each for each in document.failed}
        if not self._measured:
            return
        run = self._stored(document, complete=self._whole.everything)
        found = decide_run(baseline, run, self._measured_again, rule=self._rule, floors=self._floors, command=command)
        found = tuple(each for each in found if each.word != "gone" or self._misses(each.id))
        self._decisions = self._tolerated(found) if self._mode == "strict" else found
        self._run.add_decisions(self._decisions)

    def _tolerated(self, found: Sequence[Decision]) -> tuple[Decision, ...]:
        """The decisions, of which the inconclusive are tolerated as far as runs before are known, and those after this
        one will know of it."""
        streaks = read_streaks(self._folder)
        try:
            keep_streaks(self._folder, streaks.after(found))
        except ValueError as error:
            streaks = Streaks(unknown=f"later runs would not know of this one: {error}")
        return streaks.tolerate(found, self._run.options.inconclusive)

    def _misses(self, id: BenchmarkId) -> bool:
        """Whether a benchmark of the baseline was asked for and has no test here; one that failed has."""
        return id.kernel in self._run.options.kernel and id not in self._items

    def _measured_again(self, ids: frozenset[BenchmarkId]) -> list[StoredRun]:
        wanted = ids & self._items.keys()
        if not wanted:
            return []
        documents = [self._document_of(wanted, memory=False) for _ in range(self._rule.confirmations)]
        return [self._stored(each, complete=False) for each in documents if each is not None and each.measurements]

    def _document_of(self, wanted: frozenset[BenchmarkId], memory: bool) -> Document | None:
        """What a fresh process found out; None, and the reason kept, where it left no whole document."""
        self._say(f"attn gate: a fresh process measures {len(wanted)} benchmark{'s' * (len(wanted) != 1)}")
        with tempfile.TemporaryDirectory(prefix="attn-gate-") as folder:
            fresh = measure_afresh(
                self._config.invocation_params.args,
                Path(folder),
                self._config.invocation_params.dir,
                wanted=sorted(wanted),
                memory=memory,
            )
            try:
                document = read_document(Path(folder))
            except ValueError:
                document = None
        if document is None or document.end is None or not document.complete:
            self._why_not_measured = _why_unfinished(fresh)
            return None
        return document

    def _stored(self, document: Document, complete: bool) -> StoredRun:
        start, end = document.start, document.end
        return stored_run(
            document.measurements,
            source=f"process {start.id[:8]}",
            machine=start.machine,
            unit=start.unit,
            process=start.id,
            when=start.started,
            failed=end.failed if end else 0,
            complete=complete,
        )

    def _flags(self) -> list[str]:
        given = {option.flag: self._config.getoption(option.flag) for option in OPTIONS if option.name in PASSED_ON}
        texts = {flag: value if isinstance(value, list) else [value] for flag, value in given.items() if value}
        return [f"{flag}={text}" for flag, values in texts.items() for text in values]

    def _node(self, item: pytest.Item) -> str:
        # A node id is relative to a folder that depends on the command line; the file is not.
        return f"{item.path}::{item.nodeid.partition('::')[2]}"

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self._config.get_verbosity() >= 0:
            reporter.ensure_newline()
            reporter.write_line(line)

    def _of_decisions(self) -> Gate:
        """What the gate says of the benchmarks alone, while the run as a whole is not known."""
        return Gate(mode=self._mode, decisions=worst_first(self._decisions), run_failures=())

    def _finish(self) -> None:
        """Say what the run as a whole lacks, and report the failures that no test stands for."""
        measured = sum(MEASUREMENT in item.stash for item in self._items.values())
        facts = RunFacts(
            collected=len(self._items),
            measured=measured,
            skipped=self._outcomes["skipped"],
            failed=self._outcomes["failed"],
            disabled=benchmarks_disabled(self._config),
            baseline=self._baseline is not None,
            fault=self._fault,
        )
        self.gate = Gate.of(self._mode, self._decisions, facts)
        if self._mode != "strict":
            return
        told = [(f"{each.word}: {each.id}", each.line) for each in self.gate.failing if each.id not in self._items]
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


def _why_unfinished(fresh: FreshRun) -> str:
    last = next((line for line in reversed(fresh.printed.splitlines()) if line.strip()), "it printed nothing")
    return f"the process that measures ended with {fresh.status}: {last.strip()}"
