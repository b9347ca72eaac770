"""A project whose kernel has synthetic times, here and in fresh processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import MACHINE, Host, content, document

from pytest_attn.bench.measurement import Measurement
from pytest_attn.bench.samples import Samples
from pytest_attn.execution.isolation.fresh import FreshRun
from pytest_attn.gate.store import Store
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.records.benchmark_id import BenchmarkId

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


class GatedProject:
    """A project with synthetic times: what the kernel, and each fresh process, shows of every benchmark."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self.host = Host(random=np.random.default_rng(7))
        self.store = Store(pytester.path / "baselines" / MACHINE)
        self.slow: dict[BenchmarkId, float] = {}
        self.slow_again: dict[BenchmarkId, float] | None = None
        """In fresh processes; None: the same."""

        self.changes: dict[str, object] = {}
        self.fresh = 0
        pytester.makepyfile(test_own=OWN)
        monkeypatch.setattr("pytest_attn.devices.machine.machine_key", lambda accelerator="": accelerator or MACHINE)
        # On a loaded machine the real clock may fail its check, and no time here is one of its.
        monkeypatch.setattr("pytest_attn.bench.clock_check.why_blind", lambda clock, device: "")
        monkeypatch.setattr("pytest_attn.execution.cell.measure", self._measure)
        monkeypatch.setattr("pytest_attn.execution.cell.sit", lambda subject, case, **_: self._samples(case))
        monkeypatch.setattr("pytest_attn.plugin.speed_gate.measure_afresh", self._measure_afresh)

    def record(self, ids: list[BenchmarkId] = IDS) -> None:
        """A baseline of six runs on unchanged code."""
        files = []
        for number in range(6):
            files.append(self.pytester.path / f"run{number}.json")
            files[-1].write_bytes(content(self.host.run(ids)))
        self.store.record(files, who="me", when="2026-11-25", why="first")

    def run(self, *arguments: str) -> pytest.RunResult:
        """One run of its tests."""
        return self.pytester.runpytest("test_own.py", f"--attn-kernel={KERNEL}", *arguments)

    def _samples(self, case: Case) -> Samples:
        id = BenchmarkId(case.id, KERNEL)
        timing = self.host.timing(id, slow=self.slow.get(id, 0.0))
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

    def _measure(self, subject: object, case: Case, spec: str, **_: object) -> Measurement:
        values = {
            "samples": self._samples(case),
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
        return Measurement(case=case.id, kernel=spec, **(values | self.changes))

    def _measure_afresh(self, arguments: list[str], file: Path, directory: Path) -> FreshRun:
        self.fresh += 1
        ids = [id for id in IDS if any(f"[{id.case}]" in word for word in arguments)]
        slow = self.slow if self.slow_again is None else self.slow_again
        file.write_text(json.dumps(document(self.host.run(ids, slow=slow, complete=False))))
        return FreshRun(0, "", file)
