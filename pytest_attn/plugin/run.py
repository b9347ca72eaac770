"""One pytest run: options, the session behind them, and the records that came in. State of the run lives here only."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_attn.devices.machine import key_of, usable_cores
from pytest_attn.options.options import OPTIONS, Options, read_options
from pytest_attn.problem.case import Case
from pytest_attn.records.record import Record
from pytest_attn.report.summary import claim_line, time_split, why_nothing_ran

if TYPE_CHECKING:
    from pytest_attn.execution.session import Session


class Run:
    """What hooks talk to. `cache_directory` None where references are not kept on disk; `worker` is (index, count,
    name) of this xdist worker, (0, 1, "") without xdist."""

    def __init__(self, options: Options, cache_directory: Path | None, worker: tuple[int, int, str]) -> None:
        self.options = options
        self._cache_directory = cache_directory
        self._worker = worker
        self._started = time.perf_counter()
        self._output = Path(options.output).absolute() / "records.jsonl" if options.output else None
        self._output_fault = ""
        self.baselines = Path(options.baselines)
        """The folder of baselines; below the root directory where it is relative."""
        self.records: list[Record] = []
        self.left_out = 0
        """Cells that were collected and that `--attn-sweep`, `--attn-axis` or `--attn-case` left out."""

    @cached_property
    def session(self) -> Session:
        """The session, made when the first cell needs it: this is where torch is imported."""
        import torch

        from pytest_attn.execution.session import Session

        index, count, name = self._worker
        if count > 1:
            torch.set_num_threads(max(1, usable_cores() // count))
        return Session(self.options, self._cache_directory, (index, name))

    @cached_property
    def machine(self) -> str:
        """The key of the machine that measures; for an accelerator this imports torch. Where that is not here, its
        name."""
        return key_of(self.options.device[0])

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
        requirement = {"not here": "here", "not claimed": "claimed"}.get(skipped.outcome)
        if requirement is None or requirement not in self.options.require:
            return skipped
        from pytest_attn.execution.reproduce import reproduce

        reason = f"{skipped.reason}, and --attn-require={','.join(self.options.require)} allows no such skip"
        case = Case.parse(skipped.case)
        command = reproduce(skipped.kernel, case, self.options, self.session.device, requirement)
        return replace(skipped, outcome="failed", reason=reason, reproduce=command)

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
            "shrink": f"{options.shrink:g} s per failed cell" if options.shrink else "",
            "overclaim": "yes" if options.overclaim else "",
            "gate": f"{options.gate} beyond {options.slowdown:.3g}" if options.gate != "off" else "",
        }
        return [
            f"attn kernel: {', '.join(options.kernel)}",
            f"attn device: {', '.join(options.device)}, {usable_cores()} cores, {platform.machine()}",
            "attn " + ", ".join(f"{name}: {value}" for name, value in shown.items() if value),
        ]

    def add(self, record: Record) -> None:
        """Take in the record of a cell; write it where `--attn-output` says."""
        self.records.append(record)
        if self._output is None or self._output_fault:
            return
        try:
            # The first record of this run replaces those of an earlier one; a run without any leaves them alone.
            with self._output.open("w" if len(self.records) == 1 else "a", encoding="utf-8") as lines:
                lines.write(record.to_json() + "\n")
        except OSError as error:
            # The cells go on; the run says at its end what is missing.
            self._output_fault = f"--attn-output: {self._output} could not be written: {error.strerror}"

    def write_decisions(self, decisions: Mapping[str, Any] | None) -> None:
        """Write `decisions.json` where `--attn-output` says; None where nothing was decided."""
        if self._output is None or decisions is None:
            return
        path = self._output.with_name("decisions.json")
        try:
            path.write_text(json.dumps(decisions, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            self._output_fault = f"--attn-output: {path} could not be written: {error.strerror}"

    def make_folders(self) -> None:
        """Make the folders that the user named. Raises ValueError where they cannot be made or written."""
        for name, folder in (("cache", self._cache_directory), ("output", self._output and self._output.parent)):
            if name not in self.options.given or folder is None:
                continue
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if name == "output" and self._output:
                    self._output.open("a").close()
            except OSError as error:
                given = getattr(self.options, name)
                raise ValueError(f"--attn-{name}: {given} cannot be written: {error.strerror}") from error

    def refuse_idle_devices(self, processes: int) -> None:
        """Raises ValueError where there are more devices than processes to deal them out to."""
        if len(self.options.device) > processes:
            given = ",".join(self.options.device)
            raise ValueError(
                f"--attn-device: {given} for {processes} process{'es' if processes > 1 else ''}; allowed: at most one "
                f"device per xdist worker (-n {len(self.options.device)})"
            )

    def summary(self, workers: int = 1) -> list[str]:
        """The lines at the end, none where no cell was met."""
        if not self.records:
            left_out = f"no cell ran; --attn-sweep, --attn-axis and --attn-case left out {self.left_out}"
            return [line for line in (left_out if self.left_out else "", self.shortfall()) if line]
        total = (time.perf_counter() - self._started) * max(1, workers)
        lines = [claim_line(self.records), f"time: {time_split(self.records, total)}"]
        return lines + ([f"not green: {self.shortfall()}"] if self.shortfall() else [])

    def shortfall(self) -> str | None:
        """Why the run is not green even where its cells are: too little judged, or not written; None where it is."""
        judged = sum(record.ran for record in self.records)
        if self.records and judged == 0:
            return f"no cell was judged: {why_nothing_ran(self.records)}"
        if judged < self.options.fewest_judged:
            return f"{judged} cells were judged, --attn-require asks for {self.options.fewest_judged}"
        return self._output_fault or None


RUN = pytest.StashKey[Run]()
"""On the config: the run."""


def given_options(config: pytest.Config) -> Options:
    """What the user asked: on the command line, else in the ini file. Raises ValueError naming what makes no sense."""
    flags = {option.name: config.getoption(option.flag) for option in OPTIONS}
    in_ini = {option.name: config.getini(option.ini) or None for option in OPTIONS if flags[option.name] is None}
    given = {name: value for name, value in (flags | in_ini).items() if value is not None}
    texts = {name: [value] if isinstance(value, str) else list(value) for name, value in given.items()}
    return read_options(texts, in_ini)
