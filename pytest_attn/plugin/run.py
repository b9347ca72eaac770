"""One pytest run: options, the session behind them, and what was found out. State of the run lives here only."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_attn.devices.machine import usable_cores
from pytest_attn.options.flags import OPTIONS
from pytest_attn.options.options import Options, read_options
from pytest_attn.records.decision import Decision
from pytest_attn.records.declared import Declared
from pytest_attn.records.document import FILE, Content, DocumentFile
from pytest_attn.records.record import Record
from pytest_attn.records.run import RunEnd, RunStart, new_id, now
from pytest_attn.report.coverage import coverage_line, never_tried, words_of
from pytest_attn.report.failures import cause_key, failure_lines
from pytest_attn.report.summary import claim_line, time_split, unclaimed_line, why_nothing_ran

if TYPE_CHECKING:
    from pytest_attn.execution.session import Session


TOLD_WHOLE = 3
"""Failed tests of one cause, in one process, that show their figures and how to run them alone."""


class Run:
    """What hooks talk to. `cache_directory` None where references are not kept on disk; `worker` is (index, count,
    name) of this xdist worker, (0, 1, "") without xdist; `command` are the words of the command line, `directory` the
    root of the user's project, `processes` those that judge cells, `kernels_named_by` the flag or the ini key, `copy` a
    folder for a copy of the document, `began` the reading of `perf_counter` when pytest began."""

    def __init__(
        self,
        options: Options,
        cache_directory: Path | None,
        worker: tuple[int, int, str],
        *,
        command: Sequence[str] = (),
        directory: Path | None = None,
        processes: int = 1,
        kernels_named_by: str = "--attn-kernel",
        copy: Path | None = None,
        began: float | None = None,
    ) -> None:
        self.options = options
        self.processes = processes
        self._kernels_named_by = kernels_named_by
        self._cache_directory = cache_directory
        self._worker = worker
        self._command = command
        self._directory = directory or Path.cwd()
        self._began = time.perf_counter() if began is None else began
        self._file: DocumentFile | None = None
        self._copy_folder = copy
        self._copy: DocumentFile | None = None
        self._output_fault = ""
        self.baselines = self._directory / options.baselines
        """The folder of baselines; below the root directory where it is relative."""
        self.records: list[Record] = []
        self.kernels: dict[str, Declared] = {}
        self._told: set[str] = set()
        self._alike: Counter[tuple[str, ...]] = Counter()
        self.running: dict[str, list[Content]] = {}
        """What becomes of the cells that xdist workers are at, by node id, if their processes end there."""
        self.drawn_empty: set[tuple[str, str]] = set()
        """Kernels and sweeps that have no cell for what the kernel claims."""
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
    def start(self) -> RunStart:
        """The first line of this run's document."""
        from pytest_attn.execution.origin import run_start

        return run_start(self.options, self._command, self._directory, self.processes)

    @property
    def machine(self) -> str:
        """The key of the machine that measures; of an accelerator that is not here, its name."""
        from pytest_attn.devices.machine import key_of

        return key_of(self.options.device[0])

    def refuse_unknown_kernels(self) -> None:
        """Raises ValueError with one sentence where a kernel that the user named does not exist. Imports the
        kernels, and torch with them."""
        if "kernel" not in self.options.given:
            return
        from pytest_attn.kernels.resolve import find_kernel

        for spec in self.options.kernel:
            try:
                find_kernel(spec)
            except ValueError as error:
                raise ValueError(f"{self._kernels_named_by}: {error}") from error

    def required(self, skipped: Record) -> Record:
        """The record of a cell that does not run: failed where `--attn-require` says so."""
        from pytest_attn.execution.requirement import required

        return required(skipped, self.session)

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

    def open_document(self) -> None:
        """Begin the document that `--attn-output` asks for: whatever an earlier run left in the folder is gone.

        Raises ValueError where it cannot be written.
        """
        if self._copy_folder is not None:
            self._copy = DocumentFile(self._copy_folder)
            self._copy.write(self.start)
        if self.options.output is None:
            return
        folder = Path(self.options.output)
        try:
            self._file = DocumentFile(folder)
            self._file.write(self.start)
        except OSError as error:
            self._file = None
            raise ValueError(f"--attn-output: {self.options.output} cannot be written: {error.strerror}") from error

    def add(self, content: Content) -> None:
        """Include what became of a cell, how fast it is, or what was decided; write it where `--attn-output` says."""
        if isinstance(content, Record):
            self.records.append(content)
        if isinstance(content, Declared):
            if content.kernel in self.kernels:  # another worker said so before
                return
            self.kernels[content.kernel] = content
        if self._copy is not None:
            self._copy.write(content)
        if self._file is None or self._output_fault:
            return
        try:
            self._file.write(content)
        except OSError as error:
            # The cells go on; the run says at its end what is missing.
            written = Path(self.options.output or "") / FILE
            self._output_fault = f"--attn-output: {written} could not be written: {error.strerror}"

    def told_as(self, record: Record) -> str:
        """What the test of a failed cell says: where several before it failed for the same cause, no more than that."""
        alike = (record.kernel, *cause_key(record))
        self._alike[alike] += 1
        return record.message if self._alike[alike] <= TOLD_WHOLE else record.short_message

    def newly_declared(self, kernel: str) -> list[Declared]:
        """What a kernel claims and refuses, the first time that this process is asked; nothing after that."""
        if kernel in self._told:
            return []
        self._told.add(kernel)
        return [self.session.declared(kernel)]

    def add_decisions(self, decisions: Sequence[Decision]) -> None:
        """Include what was decided of each benchmark."""
        for decision in decisions:
            self.add(decision)

    def end(self, end: RunEnd) -> None:
        """Write how the run ended, and let go of the document."""
        self.add(end)
        for file in (self._file, self._copy):
            if file is not None:
                file.close()
        self._file = self._copy = None

    def refused(self, sentence: str) -> None:
        """End the document of a run that makes no sense, and so judged nothing."""
        self.end(refusal(sentence))

    def make_cache_folder(self) -> None:
        """Make the folder that `--attn-cache` names. Raises ValueError where it cannot be made."""
        if "cache" not in self.options.given or self._cache_directory is None:
            return
        try:
            self._cache_directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"--attn-cache: {self.options.cache} cannot be written: {error.strerror}") from error

    def refuse_idle_devices(self) -> None:
        """Raises ValueError where there are more devices than processes to deal them out to."""
        if len(self.options.device) > self.processes:
            given = ",".join(self.options.device)
            raise ValueError(
                f"--attn-device: {given} for {self.processes} process{'es' if self.processes > 1 else ''}; allowed: at "
                f"most one device per xdist worker (-n {len(self.options.device)})"
            )

    def summary(self) -> list[str]:
        """The lines at the end, none where no cell was met."""
        if not self.records:
            left_out = f"no cell ran; --attn-sweep, --attn-axis and --attn-case left out {self.left_out}"
            return [
                line for line in (left_out if self.left_out else "", *self._without_cells, self.shortfall()) if line
            ]
        total = (time.perf_counter() - self._began) * self.processes
        lines = [claim_line(self.records), f"time: {time_split(self.records, total)}", unclaimed_line(self.records)]
        lines += [coverage_line(each, self.records) for each in self.kernels.values()]
        lines.append(f"not green: {self.shortfall()}" if self.shortfall() else "")
        lines += failure_lines(self.records)
        return [line for line in lines if line]

    @property
    def _without_cells(self) -> list[str]:
        """A sentence for each kernel and sweep without any cell."""
        allowed = "allowed: claims and refusals that some case meets"
        return [f"{kernel} claims no cell of {sweep}; {allowed}" for kernel, sweep in sorted(self.drawn_empty)]

    def shortfall(self) -> str | None:
        """Why the run is not green even where its cells are: too little judged, or not written; None where it is."""
        judged = sum(record.ran for record in self.records)
        if self.records and judged == 0:
            return f"no cell was judged: {why_nothing_ran(self.records)}"
        if judged < self.options.fewest_judged:
            return f"{judged} cells were judged, --attn-require asks for {self.options.fewest_judged}"
        return self._output_fault or self._untried or None

    @cached_property
    def _untried(self) -> str:
        """What was claimed and never tried, where a run of all sweeps should have; empty where there is nothing."""
        untried = {name: never_tried(each, self.records) for name, each in self.kernels.items()}
        found = [f"{', '.join(map(words_of, claims))} [{name}]" for name, claims in untried.items() if claims]
        return f"claimed and never tried: {'; '.join(found)}" if found else ""


def refusal(sentence: str) -> RunEnd:
    """The end of a run that was refused."""
    return RunEnd(ended=now(), complete=False, status=int(pytest.ExitCode.USAGE_ERROR), faults=(sentence,))


def begin_refused(config: pytest.Config, sentence: str) -> None:
    """Leave a document of a run whose options make no sense: what an earlier run left there is no evidence of it."""
    output = config.getoption("--attn-output", default=None) or config.getini("attn_output")
    if not output or hasattr(config, "workerinput"):
        return
    try:
        file = DocumentFile(Path(output))
        command = ("pytest", *config.invocation_params.args)
        file.write(RunStart(id=new_id(), started=now(), command=command, directory=str(config.rootpath)))
        file.write(refusal(sentence))
        file.close()
    except OSError:
        # The sentence is what the user needs to see; a folder that cannot be written holds no evidence either.
        return


def given_options(config: pytest.Config) -> Options:
    """What the user asked: on the command line, else in the ini file. Raises ValueError naming what makes no sense."""
    flags = {option.name: config.getoption(option.flag) for option in OPTIONS}
    in_ini = {option.name: config.getini(option.ini) for option in OPTIONS if flags[option.name] is None}
    given = {name: value for name, value in (flags | in_ini).items() if value is not None}
    texts = {name: [value] if isinstance(value, str) else list(value) for name, value in given.items()}
    return read_options(texts, in_ini)
