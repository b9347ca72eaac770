"""Pytest in a process of its own: what comes of it, also where it does not come back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_attn.execution.isolation.fresh import FreshRun, measure_afresh

TESTS = """
import os

def test_time(benchmark):
    benchmark.pedantic(sum, args=([1],), rounds=3)

def test_wrong(benchmark):
    benchmark.pedantic(sum, args=([1],), rounds=3)
    assert os.getcwd() == "elsewhere"

def test_leaves(benchmark):
    benchmark.pedantic(sum, args=([1],), rounds=3)
    print("on its way", flush=True)
    os._exit(0)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that takes every warning for an error."""
    # These tests may run in a worker of xdist; the pytest that they run is none.
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        monkeypatch.delenv(name)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_speed.py").write_text(TESTS)
    return tmp_path


def fresh(project: Path, name: str, *arguments: str) -> FreshRun:
    """One test of the project, by a process with no plugin that is slow to start."""
    selected = [f"test_speed.py::{name}", "-p", "no:hypothesispytest", "-p", "no:cacheprovider", *arguments]
    return measure_afresh(selected, project / "times.json", project)


def test_a_run_that_passes_leaves_its_times(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As pip installs it, so that pytest rewrites the assertions of the package and warns where it cannot.
    installed = project / "pytest_attn_installed-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest-attn-installed\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[pytest11]\npytest_attn.plugin = pytest_attn.plugin\n")
    (installed / "RECORD").write_text("pytest_attn/__init__.py,,\npytest_attn/plugin/__init__.py,,\n")
    monkeypatch.syspath_prepend(project)
    found = fresh(project, "test_time")
    assert (found.status, found.file) == (0, project / "times.json"), found.printed
    assert "1 passed" in found.printed
    (benchmark,) = json.loads((project / "times.json").read_text())["benchmarks"]
    assert len(benchmark["stats"]["data"]) == 3


def test_a_run_that_fails_says_so_and_keeps_what_it_measured(project: Path) -> None:
    found = fresh(project, "test_wrong")
    assert (found.status, found.file) == (1, project / "times.json")
    assert "1 failed" in found.printed


def test_a_run_that_measured_nothing_leaves_no_file(project: Path) -> None:
    found = fresh(project, "test_time", "--benchmark-disable")
    assert (found.status, found.file) == (0, None)


def test_a_run_that_ends_inside_a_test_is_a_failure_without_times(project: Path) -> None:
    found = fresh(project, "test_leaves", "-s")
    assert (found.status, found.file) == (3, None)
    assert "on its way" in found.printed
    assert found.printed.endswith("pytest:main: the process ended with status 0 before it answered")
