"""The pytest plugin: translates hooks to one `Run`, decides nothing. Importing it imports no torch."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_attn.options.options import OPTIONS, Options, add_options
from pytest_attn.plugin import fixtures, latency
from pytest_attn.plugin.latency import SLOWDOWN
from pytest_attn.plugin.marks import CELLS
from pytest_attn.plugin.origin import Origin
from pytest_attn.plugin.replay import keep_samples
from pytest_attn.plugin.run import RUN, Run, given_options
from pytest_attn.records.record import Record

if TYPE_CHECKING:
    from pytest_attn.plugin.speed_gate import SpeedGate

GATE: pytest.StashKey[SpeedGate | None] = pytest.StashKey()
"""On the config of the controlling process: the gate, where speed is compared."""

INI_TYPES: dict[bool, Literal["linelist", "string"]] = {True: "linelist", False: "string"}


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser.getgroup("attn", "attention kernels (pytest-attn)").addoption)
    for option in OPTIONS:
        parser.addini(option.ini, f"as {option.flag}", type=INI_TYPES[option.repeats], default=None)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{CELLS}(sweep, group): the cells of a sweep; see pytest_attn.parametrize")
    config.addinivalue_line("markers", f"{SLOWDOWN}(percent): the slowdown that matters to this test, such as '10%'")
    try:
        options = given_options(config)
        run = config.stash[RUN] = Run(options, _cache_directory(config, options), _worker(config))
        run.baselines = config.rootpath / options.baselines
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(Recorder(run), "pytest_attn.recorder")
            _register_gate(config, run)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_report_header(config: pytest.Config) -> list[str]:
    run = config.stash[RUN]
    asked = run.options.given or any("pytest_attn" in argument for argument in config.args)
    return run.header() if asked else []


def pytest_sessionstart(session: pytest.Session) -> None:
    run = session.config.stash[RUN]
    try:
        run.refuse_unknown_kernels()
        if not hasattr(session.config, "workerinput"):
            latency.refuse_workers(session.config, run.options)
            run.refuse_idle_devices(_workers(session.config))
            run.make_folders()
            gate = session.config.stash[GATE]
            if gate:
                gate.read_baseline()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    fixtures.generate_tests(metafunc, metafunc.config.stash[RUN].options)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    run = config.stash[RUN]
    wanted, unasked = latency.select(items, config, run.options)
    kept, left_out = fixtures.select(wanted, run.options)
    run.left_out = sum(fixtures.parameter_of(item) is not None for item in left_out)
    if unasked or left_out:
        config.hook.pytest_deselected(items=[*unasked, *left_out])
        items[:] = kept
    try:
        latency.prepare(config, run.options, items)
        gate = config.stash.get(GATE, None)
        if gate:
            gate.read_floors(items)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    keep_samples(benchmarks, output_json)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    latency.drop_failed(item, report)
    record = item.stash.get(fixtures.RECORD, None)
    if record is not None and (report.when == "call" or (report.when == "setup" and not report.passed)):
        # A plain attribute of a report travels from an xdist worker to the controller.
        report.attn_record = record.as_dict()  # type: ignore[attr-defined]
    return report


class Recorder:
    """Takes the records off the reports of this process and of xdist workers; that hook is given no config."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        plain = getattr(report, "attn_record", None)
        if plain is not None:
            self._run.add(Record.of_dict(plain))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    run, gate = session.config.stash[RUN], session.config.stash.get(GATE, None)
    if gate:
        run.write_decisions(gate.as_dict())
    if not hasattr(session.config, "workerinput") and run.shortfall() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    gate = config.stash.get(GATE, None)
    lines = [*config.stash[RUN].summary(_workers(config)), *(gate.summary() if gate else ())]
    if lines and not config.option.collectonly:
        terminalreporter.section("attention kernels")
        for line in lines:
            terminalreporter.line(line)


def _register_gate(config: pytest.Config, run: Run) -> None:
    sittings = config.stash[latency.SITTINGS] = latency.Sittings()
    config.pluginmanager.register(sittings, "pytest_attn.sittings")
    origin = Origin(config, run)
    config.pluginmanager.register(origin, "pytest_attn.plugin.origin")
    config.stash[GATE] = None
    mode = latency.comparison(config, run.options)
    if mode is not None:
        latency.compare_with(config, run.baselines / run.machine)
        # numpy takes a while to import, which other runs need not wait for.
        from pytest_attn.plugin.speed_gate import SpeedGate

        gate = config.stash[GATE] = SpeedGate(config, run, origin, mode)
        config.pluginmanager.register(gate, "pytest_attn.plugin.speed_gate")


def _cache_directory(config: pytest.Config, options: Options) -> Path | None:
    if options.cache == "off":
        return None
    if options.cache != "on":
        return Path(options.cache).absolute()
    cache = getattr(config, "cache", None)
    return Path(cache.mkdir("attn")) if cache is not None else None


def _worker(config: pytest.Config) -> tuple[int, int, str]:
    given = getattr(config, "workerinput", None)
    if given is None:
        return (0, 1, "")
    return (int(given["workerid"].removeprefix("gw")), int(given["workercount"]), given["workerid"])


def _workers(config: pytest.Config) -> int:
    return int(config.getoption("numprocesses", default=None) or 1)
