"""The hooks of a run that has begun: each translates what pytest says to one `Run`, and decides nothing. Importing this
imports no torch."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_attn.options.options import Options
from pytest_attn.plugin import latency_tests, selection
from pytest_attn.plugin.attn import MEASUREMENT, RECORD
from pytest_attn.plugin.awaken import BEGAN, RUN
from pytest_attn.plugin.completeness import Completeness
from pytest_attn.plugin.internals import compare_with, failure_of, keep_samples, leave_out_failures
from pytest_attn.plugin.latency import TIMER, TimedHere
from pytest_attn.plugin.reports import IF_IT_ENDS, attach
from pytest_attn.plugin.run import Run, begin_refused, given_options
from pytest_attn.records.document import COPY
from pytest_attn.records.run import RunEnd, now

if TYPE_CHECKING:
    from pytest_attn.plugin.speed_gate import SpeedGate

GATE: pytest.StashKey[SpeedGate | None] = pytest.StashKey()
"""On the config of the controlling process: the gate, where speed is compared."""

COMPLETENESS = pytest.StashKey[Completeness]()
"""On the config of the controlling process: whether the run was whole."""


def begin(config: pytest.Config) -> None:
    """Put the run on the config, and what it needs beside these hooks. Raises UsageError where the options make no
    sense."""
    try:
        options = given_options(config)
        run = config.stash[RUN] = Run(
            options,
            _cache_directory(config, options),
            _worker(config),
            command=("pytest", *config.invocation_params.args),
            directory=config.rootpath,
            processes=_workers(config),
            kernels_named_by="--attn-kernel" if _kernel_flag(config) else "attn_kernel",
            copy=_copy(config),
            began=config.stash[BEGAN],
        )
        config.stash.setdefault(TIMER, TimedHere())
        if not _is_worker(config):
            _register_gate(config, run)
    except ValueError as error:
        begin_refused(config, str(error))
        raise pytest.UsageError(str(error)) from error


def pytest_report_header(config: pytest.Config) -> list[str]:
    run = config.stash[RUN]
    asked = run.options.given or any("pytest_attn" in argument for argument in config.args)
    return run.header() if asked else []


def pytest_sessionstart(session: pytest.Session) -> None:
    run = session.config.stash[RUN]
    try:
        if not _is_worker(session.config):
            run.open_document()
        if _kernel_flag(session.config):
            run.refuse_unknown_kernels()
        if not _is_worker(session.config):
            latency_tests.refuse_workers(session.config, run.options)
            run.refuse_idle_devices()
            run.make_cache_folder()
            gate = session.config.stash[GATE]
            if gate:
                gate.read_baseline()
    except ValueError as error:
        run.refused(str(error))
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    run = config.stash[RUN]
    wanted, unasked = latency_tests.select(items, config, run.options)
    kept, left_out = selection.select(wanted, run.options)
    run.left_out = sum(selection.parameter_of(item) is not None for item in left_out)
    if unasked or left_out:
        config.hook.pytest_deselected(items=[*unasked, *left_out])
        items[:] = kept
    try:
        latency_tests.prepare(config, run.options, items)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_finish(session: pytest.Session) -> None:
    config = session.config
    run, gate = config.stash[RUN], config.stash.get(GATE, None)
    try:
        if any(selection.uses_a_kernel(item) for item in session.items) and not _kernel_flag(config):
            # A kernel of the ini file is of no concern to a session that has no test of it.
            run.refuse_unknown_kernels()
        if gate:
            gate.read_tests(session.items)
    except ValueError as error:
        run.refused(str(error))
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    keep_samples(benchmarks, output_json)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    latency_tests.drop_failed(item, report)
    if report.when == "call" or (report.when == "setup" and not report.passed):
        record, measured = item.stash.get(RECORD, None), item.stash.get(MEASUREMENT, None)
        declared = item.config.stash[RUN].newly_declared(record.kernel) if record else ()
        if record is not None and report.failed and record.outcome == "failed":
            message = item.config.stash[RUN].told_as(record)
            report.longrepr = failure_of(message, record.cause)  # type: ignore[assignment]
        attach(report, [*declared, *(content for content in (record, measured) if content is not None)])
    elif report.when == "setup" and _is_worker(item.config):
        cell = getattr(item, "funcargs", {}).get("attn_cell")
        if cell is not None:
            attach(report, [cell.failed("the process of this xdist worker ended in this cell")], IF_IT_ENDS)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _is_worker(session.config):
        return
    run = session.config.stash[RUN]
    if run.shortfall() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    run.end(_end(session))


def _end(session: pytest.Session) -> RunEnd:
    run, whole = session.config.stash[RUN], session.config.stash[COMPLETENESS]
    gate = session.config.stash[GATE]
    decided = gate.gate if gate else None
    shortfall = run.shortfall()
    return RunEnd(
        ended=now(),
        complete=whole.came_to_its_end(int(session.exitstatus)),
        status=int(session.exitstatus),
        everything=whole.everything,
        failed=whole.failed,
        faults=(shortfall,) if shortfall else (),
        gate=decided.mode if decided else "",
        gate_faults=decided.run_failures if decided else (),
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """What became of the kernels stands last, where it is read first."""
    run, gate = config.stash[RUN], config.stash.get(GATE, None)
    red = [record for record in run.records if record.outcome == "failed"]
    if red and len(red) == len(terminalreporter.stats.get("failed", ())):
        leave_out_failures(terminalreporter)
    yield
    lines = [*(gate.headline if gate else ()), *run.summary(), *(gate.summary() if gate else ())]
    if lines and not config.option.collectonly:
        terminalreporter.section("attention kernels")
        for line in lines:
            terminalreporter.line(line)


def _register_gate(config: pytest.Config, run: Run) -> None:
    whole = config.stash[COMPLETENESS] = Completeness(config, run)
    config.pluginmanager.register(whole, "pytest_attn.completeness")
    config.stash[GATE] = None
    mode = latency_tests.comparison(config, run.options)
    if mode is not None:
        compare_with(config, run.baselines / run.machine)
        # numpy takes a while to import, which other runs need not wait for.
        from pytest_attn.plugin.speed_gate import SpeedGate

        gate = config.stash[GATE] = config.stash[TIMER] = SpeedGate(config, run, whole, mode)
        config.pluginmanager.register(gate, "pytest_attn.speed_gate")


def _cache_directory(config: pytest.Config, options: Options) -> Path | None:
    if options.cache == "off":
        return None
    if options.cache != "on":
        return Path(options.cache).absolute()
    cache = getattr(config, "cache", None)
    return Path(cache.mkdir("attn")) if cache is not None else None


def _copy(config: pytest.Config) -> Path | None:
    """Where a copy of the document is asked for; of this run, not of those that it starts."""
    folder = os.environ.pop(COPY, None)
    return Path(folder) if folder and not _is_worker(config) else None


def _kernel_flag(config: pytest.Config) -> bool:
    return bool(config.getoption("--attn-kernel"))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _worker(config: pytest.Config) -> tuple[int, int, str]:
    given = getattr(config, "workerinput", None)
    if given is None:
        return (0, 1, "")
    return (int(given["workerid"].removeprefix("gw")), int(given["workercount"]), given["workerid"])


def _workers(config: pytest.Config) -> int:
    return int(config.getoption("numprocesses", default=None) or 1)
