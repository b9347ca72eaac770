"""The tests of latency: which of them run, and in which company."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_attn.options.options import Options
from pytest_attn.plugin.internals import Replay, comparing, forget, only_benchmarks
from pytest_attn.plugin.selection import parameter_of

if TYPE_CHECKING:
    from pytest_attn.gate.gate import Mode

SWEEP = "latency"
SUITE = "pytest_attn.suite.test_latency"
ALONE = "latency is measured by one process alone, not by xdist workers; allowed: the same command without -n (or -n0)"
RECORDER_MISSING = (
    "attn_benchmark records through pytest-benchmark, which is not loaded; allowed: pytest without -p no:benchmark"
)

TOO_SLOW = pytest.StashKey[str]()
"""On a test item: the decision of the gate that fails it. What it measured is right, and stays in what is written."""


def times_a_cell(item: pytest.Item) -> bool:
    """Whether a test uses `attn_benchmark`."""
    return "attn_benchmark" in getattr(item, "fixturenames", ())


def named(config: pytest.Config, options: Options) -> bool:
    """Whether the user named the sweep, or the module of its packaged tests."""
    home = Path(__file__).parent.parent / "suite" / "test_latency.py"
    modules = [argument.partition("::")[0] for argument in config.args]
    here = config.invocation_params.dir
    return SWEEP in options.sweep or any(module == SUITE or (here / module).resolve() == home for module in modules)


def asked(config: pytest.Config, options: Options) -> bool:
    """Whether the packaged tests of latency run: named, matched by a word of `-k`, or because `--benchmark-only`,
    `--benchmark-compare` or `--attn-gate` asks for times."""
    wanted = only_benchmarks(config) or comparing(config) or options.gate != "off"
    return named(config, options) or "latency" in config.option.keyword or wanted


def select(
    items: list[pytest.Item], config: pytest.Config, options: Options
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """(wanted, not asked for): the packaged tests of latency run only where the user asked for them."""
    if asked(config, options):
        return items, []
    modules = [item.module.__name__ if isinstance(item, pytest.Function) else "" for item in items]
    wanted = [item for item, module in zip(items, modules, strict=True) if module != SUITE]
    return wanted, [item for item, module in zip(items, modules, strict=True) if module == SUITE]


def refuse_workers(config: pytest.Config, options: Options) -> None:
    """Raises ValueError where tests of latency that the user named, or whose times are to be compared, would be dealt
    out to xdist workers; others fail there, each with the same sentence."""
    if config.getoption("dist", "no") == "no":
        return
    if comparison(config, options):
        raise ValueError(f"--attn-gate: times are not compared under xdist; {ALONE}")
    if named(config, options):
        raise ValueError(ALONE)


def prepare(config: pytest.Config, options: Options, items: Iterable[pytest.Item]) -> None:
    """Give every test that times a cell the timer that it records with, and a group: the kernels of one case, or the
    cases of one test. Raises ValueError where pytest-benchmark is not loaded."""
    for item in items:
        if not times_a_cell(item):
            continue
        if not config.pluginmanager.has_plugin("pytest-benchmark"):
            raise ValueError(RECORDER_MISSING)
        given = item.get_closest_marker("benchmark")
        cell = parameter_of(item)
        group = cell.case.id if cell and len(options.kernel) > 1 else item.name.partition("[")[0]
        wanted = {"group": group, **(given.kwargs if given else {}), "timer": Replay()}
        item.add_marker(pytest.mark.benchmark(**wanted), append=False)


def drop_failed(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep what a test measured before it failed out of the files that pytest-benchmark writes, unless it failed for
    being slow."""
    if report.failed and times_a_cell(item) and TOO_SLOW not in item.stash:
        benchmark = (getattr(item, "funcargs", None) or {}).get("benchmark")
        if benchmark is not None:
            forget(benchmark)


def comparison(config: pytest.Config, options: Options) -> Mode | None:
    """How speed is compared: as `--attn-gate` says, else `report` where pytest-benchmark compares; None where not."""
    if "gate" in options.given:
        return None if options.gate == "off" else options.gate
    return "report" if comparing(config) else None
