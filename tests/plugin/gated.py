"""A project whose kernel has synthetic times, in whatever process measures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import MACHINE, Host, content

from pytest_attn.bench.measurement import Measurement
from pytest_attn.bench.samples import Samples
from pytest_attn.execution.isolation.fresh import FreshRun
from pytest_attn.gate.store import Store
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.document import DocumentFile
from pytest_attn.records.record import Record
from pytest_attn.records.run import RunEnd, RunStart

KERNEL = "eager"
IDS = [BenchmarkId(case.id, KERNEL) for case in find_sweep("smoke").groups["smoke_scale"]]
SLOW = IDS[3]

OWN = """
import pytest
import pytest_attn

@pytest_attn.parametrize(sweep="smoke", group="smoke_scale")
def test_own(attn_benchmark):
    attn_benchmark(memory=False)
"""

WRONG = """
import pytest_attn

@pytest_attn.kernel(lse=True)
def wrong(query, key, value, *, scale, return_lse=False):
    out = query.new_zeros(query.shape)
    return (out, out[..., 0].float()) if return_lse else out
"""


class Gated:
    """A project with synthetic times: what the first fresh process, and each further one, shows of every benchmark."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self.host = Host(random=np.random.default_rng(7))
        self.store = Store(pytester.path / "baselines" / MACHINE)
        self.slow: dict[BenchmarkId, float] = {}
        self.slow_again: dict[BenchmarkId, float] | None = None
        """In further processes; None: the same."""

        self.changes: dict[str, object] = {}
        """Fields of every measurement that differ from the usual."""

        self.start = RunStart(id="", started="2026-11-26T03:00:00+00:00", machine=MACHINE)
        self.failed: tuple[Record, ...] = ()
        """Cells that fail in the first process, and so have no times."""

        self.skipped: set[BenchmarkId] = set()
        """Benchmarks that the processes skip, and say nothing of."""

        self.lost = ""
        """What the first process prints where it ends before it has measured anything."""

        self.unsteady: set[BenchmarkId] = set()
        """Benchmarks whose rounds spread so far that they say nothing."""

        self.asked: list[frozenset[BenchmarkId]] = []
        """What each process was asked for."""

        self.runs = 0
        self.arguments: list[Sequence[str]] = []
        pytester.makepyfile(test_own=OWN)
        monkeypatch.setattr("pytest_attn.devices.machine.machine_key", lambda accelerator="": accelerator or MACHINE)
        monkeypatch.setattr("pytest_attn.execution.cell.measure", self._measure_here)
        monkeypatch.setattr("pytest_attn.plugin.speed_gate.measure_afresh", self._measure_afresh)

    def record(self, ids: Sequence[BenchmarkId] = IDS, **run: str) -> None:
        """A baseline of six runs on unchanged code."""
        self.store.record(self._files(ids, **run), who="me", when="2026-11-25", why="first")

    def accept(self) -> None:
        """Another such baseline in its place."""
        self.store.accept(self._files(IDS), who="me", when="2026-11-26", why="again")

    def _files(self, ids: Sequence[BenchmarkId], **run: str) -> list[Path]:
        files = []
        for number in range(6):
            files.append(self.pytester.path / f"run{number}.json")
            files[-1].write_bytes(content(replace(self.host.run([*ids]), **run)))
        return files

    def run(self, *arguments: str, tests: str = "test_own.py") -> pytest.RunResult:
        """A run of the project's tests."""
        return self.pytester.runpytest(tests, f"--attn-kernel={KERNEL}", *arguments)

    def again(self, *arguments: str) -> pytest.RunResult:
        """A run that knows nothing of the processes of the one before."""
        self.asked.clear()
        self.runs += 1
        return self.run(*arguments)

    def give_times(self, id: BenchmarkId, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every time of a benchmark is this."""
        real = self.samples

        def given(of: BenchmarkId, slow: float) -> Samples:
            found = real(of, slow)
            return replace(found, kernel=(seconds,) * found.rounds) if of == id else found

        monkeypatch.setattr(self, "samples", given)

    def throttled(self) -> Samples:
        """What is left where the device was throttled in every round."""
        none = (float("nan"),) * 20
        found = self.samples(SLOW, 0.0)
        return replace(
            found, kernel=none, control=none, control_again=tuple(zip(none, none, strict=True)), discarded=20
        )

    def samples(self, id: BenchmarkId, slow: float) -> Samples:
        """Times of a benchmark that is `slow` slower."""
        host = replace(self.host, own=0.7) if id in self.unsteady else self.host
        timing = host.timing(id, slow=slow)
        half = (True, False) * (len(timing.seconds) // 2)
        return Samples(
            kernel=timing.seconds,
            control=timing.control,
            kernel_first=half,
            control_again=timing.again,
            control_first=half,
            kernel_calls=1,
            control_calls=1,
        )

    def _measure_here(self, subject: object, case: Case, spec: str, **_: object) -> Measurement:
        return self._measurement(BenchmarkId(case.id, spec), self.slow)

    def _measurement(self, id: BenchmarkId, slow: dict[BenchmarkId, float]) -> Measurement:
        values = {
            "samples": self.samples(id, slow.get(id, 0.0)),
            "source_hash": "",
            "clock": "perf_counter",
            "cold": False,
            "control_name": "matmul",
            "control_flops": 10**8,
            "flops": 10**8,
            "flop_formula": "pairs-2d-2dv",
            "bytes": 10**6,
            "byte_formula": "query-key-value-out-once",
            "peak_bytes": None,
            "device": "cpu",
            "device_name": "AMD EPYC",
            "threads": 1,
            "seed": 42,
            "versions": {"torch": "2.13"},
        }
        return Measurement(case=id.case, kernel=id.kernel, **(values | self.changes))

    def _measure_afresh(
        self,
        arguments: Sequence[str],
        folder: Path,
        directory: Path,
        *,
        wanted: Sequence[BenchmarkId],
        memory: bool,
    ) -> FreshRun:
        first = not self.asked
        self.asked.append(frozenset(wanted))
        self.arguments.append(arguments)
        if first and self.lost:
            return FreshRun(3, self.lost, None)
        slow = self.slow if first or self.slow_again is None else self.slow_again
        file = DocumentFile(folder)
        file.write(replace(self.start, id=f"process{self.runs}-{len(self.asked)}"))
        without = {BenchmarkId(record.case, record.kernel) for record in self.failed} | self.skipped
        for record in self.failed:
            file.write(record)
        for id in wanted:
            if id not in without:
                file.write(self._measurement(id, slow))
        file.write(RunEnd(ended="2026-11-26T03:01:00+00:00", complete=True, status=0, everything=first))
        file.close()
        return FreshRun(0, "", None)
