"""One pytest run: options, the session behind them, and the records that came in. State of the run lives here only."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_attn.options import OPTIONS, Options
from pytest_attn.report.record import Record
from pytest_attn.report.summary import claim_line, time_split, why_nothing_ran

if TYPE_CHECKING:
    from pytest_attn.session import Session


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Run:
    """What hooks talk to. `cache_directory` None where references are not kept on disk; `worker` is (index, count,
    name) of this xdist worker, (0, 1, "") without xdist."""

    def __init__(self, options: Options, cache_directory: Path | None, worker: tuple[int, int, str]) -> None:
        self.options = options
        self._cache_directory = cache_directory
        self._worker = worker
        self._started = time.perf_counter()
        self.records: list[Record] = []

    @cached_property
    def session(self) -> Session:
        """The session, made when the first cell needs it: this is where torch is imported."""
        import torch

        from pytest_attn.session import Session

        index, count, name = self._worker
        if count > 1:
            torch.set_num_threads(max(1, cores() // count))
        return Session(self.options, self._cache_directory, (index, name))

    def refuse_unknown_kernels(self) -> None:
        """Raises ValueError with one sentence where a kernel that the user named does not exist."""
        if "kernel" not in self.options.given:
            return
        from pytest_attn.kernels.resolve import find_kernel

        for spec in self.options.kernel:
            try:
                find_kernel(spec)
            except ValueError as error:
                raise ValueError(f"--attn-kernel: {error}") from error

    def required(self, skipped: Record) -> Record:
        """The record of a cell that does not run: failed where `--attn-require` says so."""
        required = {"here": "not here", "claimed": "not claimed"}
        if skipped.outcome in [required[item] for item in self.options.require if item in required]:
            reason = f"{skipped.reason}, and --attn-require={','.join(self.options.require)} allows no such skip"
            return replace(skipped, outcome="failed", reason=reason)
        return skipped

    def header(self) -> list[str]:
        """Three lines: kernels, machine, what runs."""
        options = self.options
        budget = "no limit" if options.budget_gflop == float("inf") else f"{options.budget_gflop:g} GFLOP per case"
        shown = {
            "sweep": ", ".join(options.sweep) or "all",
            "axis": "; ".join(f"{axis.axis} in {', '.join(sorted(axis.values))}" for axis in options.axis),
            "case": ", ".join(case.id for case in options.case),
            "seed": str(options.seed),
            "budget": budget,
            "tolerance": options.tolerance,
            "cache": str(self._cache_directory or "off"),
            "require": ", ".join(options.require),
            "output": options.output or "",
        }
        return [
            f"attn kernel: {', '.join(options.kernel)}",
            f"attn device: {', '.join(options.device)}, {cores()} cores, {platform.machine()}",
            "attn " + ", ".join(f"{name}: {value}" for name, value in shown.items() if value),
        ]

    def add(self, record: Record) -> None:
        """Take in the record of a cell; write it where `--attn-output` says."""
        self.records.append(record)
        if self.options.output:
            with (Path(self.options.output) / "records.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(record.to_json() + "\n")

    def make_folders(self) -> None:
        """Make the folders that the user named, and an empty `records.jsonl`; ValueError where that cannot be."""
        try:
            if "cache" in self.options.given and self._cache_directory:
                self._cache_directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"--attn-cache: {self._cache_directory} cannot be made: {error.strerror}") from error
        if not self.options.output:
            return
        folder = Path(self.options.output)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "records.jsonl").write_text("", encoding="utf-8")
        except OSError as error:
            raise ValueError(f"--attn-output: {folder} cannot be written: {error.strerror}") from error

    def summary(self, workers: int = 1) -> list[str]:
        """The lines at the end, none where no cell was met."""
        if not self.records:
            return []
        total = (time.perf_counter() - self._started) * max(1, workers)
        lines = [claim_line(self.records), f"time: {time_split(self.records, total)}"]
        return lines + ([f"not green: {self.shortfall()}"] if self.shortfall() else [])

    def shortfall(self) -> str | None:
        """Why too little was judged for the run to be green; None where it was enough, or no cell was selected at
        all."""
        judged = sum(record.ran for record in self.records)
        if not self.records or judged >= self.options.fewest_judged:
            return None
        if judged == 0:
            return f"no cell was judged: {why_nothing_ran(self.records)}"
        return f"{judged} cells were judged, --attn-require asks for {self.options.fewest_judged}"


RUN = pytest.StashKey[Run]()
"""On the config: the run."""


def given_options(config: pytest.Config) -> dict[str, Sequence[str]]:
    """The texts that the user gave for each option: of the command line, else of the ini file."""
    given: dict[str, Sequence[str]] = {}
    for option in OPTIONS:
        value = config.getoption(option.flag) or config.getini(option.ini)
        given[option.name] = [value] if isinstance(value, str) and value else list(value or [])
    return given
