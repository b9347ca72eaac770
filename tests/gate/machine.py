"""A machine on which the fresh processes of `baseline record` take no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from synthetic import MACHINE, Host, document, named

from pytest_attn.execution.isolation.fresh import TIMES, FreshRun

IDS = named(3)
PRINTED = "collected 3 items\nFAILED test_one - it is wrong\n1 failed in 2 s"


class Machine:
    """What each fresh process finds is made up here, and so is the time: one minute for each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = Host(random=np.random.default_rng(5))
        self.ids = IDS
        self.now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
        self.slept: list[float] = []
        self.started: list[list[str]] = []
        self.changes: Callable[[int], dict[str, object]] = lambda number: {}
        self.status: Callable[[int], int] = lambda number: 0
        """Exit status of pytest in the process of that number."""

        monkeypatch.setattr("pytest_attn.commands.baseline.measure_afresh", self._measure)
        monkeypatch.setattr("pytest_attn.commands.baseline._clock", lambda: self.now)
        monkeypatch.setattr("pytest_attn.commands.baseline.time.sleep", self._sleep)
        monkeypatch.setattr("pytest_attn.devices.machine.machine_key", lambda accelerator="": accelerator or MACHINE)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    def _measure(self, arguments: list[str], folder: Path, directory: Path) -> FreshRun:
        self.started.append(arguments)
        self.now += timedelta(minutes=1)
        file = folder / TIMES
        folder.mkdir()
        run = self.host.run(self.ids, **self.changes(len(self.started)))
        file.write_text(json.dumps(document(run, when=self.now.isoformat())))
        return FreshRun(self.status(len(self.started)), PRINTED, file)
