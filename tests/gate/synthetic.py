"""Runs with synthetic noise: drift that kernel and control share, noise of each, spikes, a layout drawn per process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from pytest_attn.gate.run_file import run_block
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.gate.timing import Timing
from pytest_attn.records.benchmark_id import BenchmarkId

KERNEL = "block_sparse"
MACHINE = "amd-epyc-2-cores"
CONDITIONS = {"device": "cpu", "threads": 1, "seed": 42, "cold": False}
_processes = itertools.count()


def named(count: int) -> list[BenchmarkId]:
    """So many benchmarks."""
    return [BenchmarkId(f"b1-h{heads}-s1024", KERNEL) for heads in range(1, count + 1)]


@dataclass(frozen=True)
class Host:
    """A machine's noise, all in log seconds."""

    drift: float = 0.03
    """Of a round, shared by kernel and control."""

    own: float = 0.015
    """Of one measurement."""

    spikes: float = 0.05
    """Probability that a measurement takes 5 to 30 % longer."""

    layout: float = 0.008
    """Of a process and arm: where memory came to lie."""

    clock: float = 0.0
    """Of a process, shared by kernel and control: the clock rate that it met."""

    session: float = 0.0
    """Of a benchmark in a session: the state of the machine that all its processes meet."""

    effects: dict[BenchmarkId, float] = field(default_factory=dict)
    """What the session now does to each benchmark."""

    rounds: int = 20
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def measure(self, base: float, slow: float) -> np.ndarray:
        noise = self.own * self.random.standard_normal(self.rounds)
        spiked = self.random.random(self.rounds) < self.spikes
        noise = noise + spiked * self.random.uniform(0.05, 0.30, self.rounds)
        return base * (1 + slow) * np.exp(noise)

    def timing(self, id: BenchmarkId, *, slow: float = 0.0, load: float = 0.0, **changes: Any) -> Timing:
        """Times of a kernel of 4 ms that is `slow` slower, on a machine that is `load` slower altogether."""
        level = np.exp(self.drift * self.random.standard_normal(self.rounds)) * (1 + load)
        level *= np.exp(self.clock * self.random.standard_normal())
        layout = np.exp(self.layout * self.random.standard_normal(2))
        if self.session and id not in self.effects:
            self.effects[id] = self.session * self.random.standard_normal()
        kernel = self.measure(4e-3, slow) * level * layout[0] * np.exp(self.effects.get(id, 0.0))
        control = self.measure(2e-3, 0.0) * level * layout[1]
        again = np.stack([self.measure(2e-3, 0.0), self.measure(2e-3, 0.0)], axis=1) * level[:, None]
        values: dict[str, Any] = {
            "id": id,
            "seconds": tuple(kernel.tolist()),
            "control": tuple(control.tolist()),
            "again": tuple(map(tuple, again.tolist())),
            "median": float(np.median(kernel)),
            "tflops": 4e-4 / float(np.median(kernel)),
            "conditions": CONDITIONS,
            "versions": {"torch": "2.13"},
        }
        return Timing(**(values | changes))

    def run(
        self,
        ids: list[BenchmarkId],
        *,
        slow: float | Mapping[BenchmarkId, float] = 0.0,
        load: float = 0.0,
        changes: Mapping[str, Any] = MappingProxyType({}),
        **fields: Any,
    ) -> StoredRun:
        """A complete green run in a process of its own; `changes` are to every timing, `fields` to the run."""
        process = f"process-{next(_processes)}"
        slowdowns = {id: slow if isinstance(slow, float) else slow.get(id, 0.0) for id in ids}
        timings = {id: self.timing(id, slow=slowdowns[id], load=load, **changes) for id in ids}
        values: dict[str, Any] = {
            "source": process,
            "machine": MACHINE,
            "process": process,
            "when": "2026-11-25",
            "failed": 0,
            "complete": True,
            "benchmarks": timings,
        }
        return StoredRun(**(values | fields))

    def sessions(self, sessions: int, count: int, ids: list[BenchmarkId]) -> list[StoredRun]:
        """Runs of a baseline, `count` in each of so many sessions; what follows is of another."""
        found = []
        for number in range(sessions):
            self.effects.clear()
            found += self.runs(count, ids, session=f"session {number}")
        self.effects.clear()
        return found

    def runs(self, count: int, ids: list[BenchmarkId], **options: Any) -> list[StoredRun]:
        return [self.run(ids, **options) for _ in range(count)]


def document(run: StoredRun, *, when: str = "2026-11-25T03:00:00+00:00") -> dict[str, Any]:
    """A run as pytest-benchmark would write it, two calls to a round."""
    return {
        "machine_info": {
            "system": "Linux",
            "python_implementation": "CPython",
            "python_version": "3.11.7",
            "cpu": {"bits": 64},
        },
        "commit_info": {"id": "0abe94d"},
        "benchmarks": [_entry(timing) for timing in run.benchmarks.values()],
        "datetime": when,
        "version": "5.3.1",
        "attn": run_block(
            machine=run.machine,
            process=run.process,
            failed=run.failed or 0,
            complete=run.complete,
            unit=run.unit,
        ),
    }


def content(run: StoredRun, **options: Any) -> bytes:
    """The bytes of a run's file."""
    return json.dumps(document(run, **options)).encode()


def _entry(timing: Timing) -> dict[str, Any]:
    twice = [2 * time for time in timing.seconds]
    return {
        "group": None,
        "name": f"test_latency[{timing.id.case}]",
        "fullname": f"test_own::test_own[{timing.id.case}]",
        "params": None,
        "param": None,
        "extra_info": {
            "attn": {
                "schema": 1,
                "case": timing.id.case,
                "kernel": timing.id.kernel,
                "source_hash": timing.source_hash,
                "control": [2 * time for time in timing.control],
                "control_again": [[2 * a, 2 * b] for a, b in timing.again],
                "inner": 2,
                "tflops": timing.tflops,
                "versions": dict(timing.versions),
                **timing.conditions,
            }
        },
        "options": {},
        "stats": {**_statistics(twice or [2 * timing.median]), "median": 2 * timing.median, "data": twice},
    }


def _statistics(times: list[float]) -> dict[str, Any]:
    """What pytest-benchmark's own table shows."""
    mean = float(np.mean(times))
    return {
        "min": min(times),
        "max": max(times),
        "mean": mean,
        "stddev": float(np.std(times)),
        "iqr": 0.0,
        "outliers": "0;0",
        "ops": 1 / mean if mean else 0.0,
        "rounds": len(times),
        "iterations": 1,
    }
