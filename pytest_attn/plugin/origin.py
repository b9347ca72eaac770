"""The origin of stored times: what a file of pytest-benchmark says of the run that wrote it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_attn.gate.run_file import run_block
from pytest_attn.plugin.fixtures import parameter_of
from pytest_attn.plugin.latency import times_a_cell
from pytest_attn.plugin.run import Run


class Origin:
    """Which machine and which process measured, and whether everything was asked for and right."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._run = run
        self._process = uuid.uuid4().hex
        self._session: pytest.Session | None = None
        self.complete = not run.options.case and not any("::" in word for word in config.args)
        """Whether every benchmark was asked for and the run came to its end."""

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        # The test of `--attn-case` is there without a case, too, and never runs then.
        self.complete &= not any(times_a_cell(item) and parameter_of(item) for item in items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        if any("attn" in entry["extra_info"] for entry in output_json["benchmarks"]):
            output_json["attn"] = self.block()

    def block(self) -> dict[str, Any]:
        """See `run_block`."""
        session = self._session
        complete = self.complete and not (session and (session.shouldfail or session.shouldstop))
        failed = session.testsfailed if session else 0
        return run_block(machine=self._run.machine, unit="", process=self._process, failed=failed, complete=complete)
