"""Whether a run was the whole of what it could be: everything selected, nothing stopped, how many tests failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_attn.gate.run_file import run_block
from pytest_attn.plugin.awaken import SESSION
from pytest_attn.plugin.latency_tests import times_a_cell
from pytest_attn.plugin.run import Run
from pytest_attn.plugin.selection import parameter_of

ENDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
"""Statuses of runs that came to their end."""


class Completeness:
    """Notes what was left out of a run, and says so in the files that pytest-benchmark writes."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._run = run
        self._config = config
        self.everything = not run.options.case and not any("::" in word for word in config.args)
        """Whether every benchmark was selected."""

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        # The test of `--attn-case` is there without a case, too, and never runs then.
        self.everything &= not any(times_a_cell(item) and parameter_of(item) for item in items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        if any("attn" in entry["extra_info"] for entry in output_json["benchmarks"]):
            start = self._run.start
            output_json["attn"] = run_block(
                machine=start.machine,
                unit=start.unit,
                process=start.id,
                failed=self.failed,
                complete=self.everything and not self.stopped,
            )

    @property
    def failed(self) -> int:
        """Tests that failed until now."""
        return session.testsfailed if (session := self._config.stash.get(SESSION, None)) else 0

    @property
    def stopped(self) -> bool:
        """Whether the run was told to end early, as by `-x`."""
        session = self._config.stash.get(SESSION, None)
        return bool(session and (session.shouldfail or session.shouldstop))

    def came_to_its_end(self, status: int) -> bool:
        """Whether a run with this exit status ran all that it selected."""
        return status in ENDED and not self.stopped
