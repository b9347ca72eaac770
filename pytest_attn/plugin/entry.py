"""What every run of pytest loads of us, where it has no attention tests, too: options, and the hooks that see whether
anything is asked for."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Literal

import pytest

from pytest_attn.options.flags import OPTIONS, add_options
from pytest_attn.plugin.awaken import BEGAN, RUN, SESSION, run_of
from pytest_attn.plugin.internals import comparing, defined_in
from pytest_attn.plugin.marks import CELLS, SLOWDOWN
from pytest_attn.plugin.reports import IF_IT_ENDS, attach, attached

FIXTURES = "pytest_attn.plugin.fixtures"
"""The module of the fixtures, which pytest imports itself: one that is there already it cannot rewrite, and warns."""

INI_TYPES: dict[bool, Literal["linelist", "string"]] = {True: "linelist", False: "string"}


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser.getgroup("attn", "attention kernels (pytest-attn)").addoption)
    for option in OPTIONS:
        parser.addini(option.ini, f"as {option.flag}", type=INI_TYPES[option.repeats], default=None)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{CELLS}(sweep, group): the cells of a sweep; see pytest_attn.parametrize")
    config.addinivalue_line("markers", f"{SLOWDOWN}(percent): the slowdown that matters to this test, such as '10%'")
    config.stash[BEGAN] = time.perf_counter()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config), "pytest_attn.recorder")
    if _asked(config):
        run_of(config)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[SESSION] = session


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = {name for name in metafunc.fixturenames if defined_in(metafunc, name) == FIXTURES}
    if names or metafunc.definition.get_closest_marker(CELLS):
        run = run_of(metafunc.config)
        from pytest_attn.plugin.selection import generate_tests

        generate_tests(metafunc, run, names)


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    made = yield
    # A test that is named has to be found, or pytest says that there is none.
    if not isinstance(made, list) or RUN not in collector.config.stash or any("::" in w for w in collector.config.args):
        return made
    from pytest_attn.plugin.selection import stands_for_nothing

    return [item for item in made if not stands_for_nothing(item)]


class Recorder:
    """Takes what tests found out off the reports of this process and of xdist's workers; that hook is given no
    config."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        contents, if_it_ends = attached(report), attached(report, IF_IT_ENDS)
        if not contents and not if_it_ends and RUN not in self._config.stash:
            return
        run = run_of(self._config)
        if report.when == "setup":
            run.running[report.nodeid] = if_it_ends
        else:
            run.running.pop(report.nodeid, None)
        for content in contents:
            run.add(content)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        # Its report goes the way of all others afterwards.
        if RUN in self._config.stash:
            attach(report, run_of(self._config).running.pop(crashitem, []))


def _asked(config: pytest.Config) -> bool:
    """Whether the user gave an option of ours, named a test of ours, or has times compared."""
    given = any(config.getoption(option.flag) is not None or config.getini(option.ini) for option in OPTIONS)
    return given or comparing(config) or any("pytest_attn" in argument for argument in config.args)
