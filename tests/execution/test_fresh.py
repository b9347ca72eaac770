"""Pytest in a process of its own: what comes of it, also where it does not come back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_attn.execution.isolation.fresh import FreshRun, measure_afresh
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.document import read_document

CASES = ("b1-h1-s64-d32-float32-out-exact", "b1-h1-s96-d32-float32-out-exact")

KERNELS = """
import os
import torch

def inside(query, key, value, scale):
    assert os.environ.get("ATTN_TEST") == "inside", "called outside of the test's fixtures"
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)

def leaves(*given, scale):
    print("on its way", flush=True)
    os._exit(0)

class tired:
    prepared = 0

    def prepare(self, problem, inputs):
        type(self).prepared += 1
        if type(self).prepared > 4:
            raise RuntimeError("enough")
        return lambda: torch.nn.functional.scaled_dot_product_attention(
            inputs.query, inputs.key, inputs.value, scale=problem.scale
        )
"""

TESTS = """
import pytest
import pytest_attn

@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("ATTN_TEST", "inside")

@pytest_attn.parametrize(sweep="", group="cases given")
def test_speed(attn_benchmark):
    attn_benchmark(rounds=20, memory=False)

def test_other():
    raise RuntimeError("it times no cell")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that takes every warning for an error."""
    # These tests may run in a worker of xdist; what they start is none, and pytest-benchmark asks.
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        monkeypatch.delenv(name)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_speed.py").write_text(TESTS)
    (tmp_path / "kernels.py").write_text(KERNELS)
    return tmp_path


def fresh(project: Path, kernel: str, *arguments: str, wanted: list[BenchmarkId] | None = None) -> FreshRun:
    """The tests of the project, by a process with no plugin that is slow to start."""
    command = ["test_speed.py", f"--attn-kernel={kernel}", *(f"--attn-case={case}" for case in CASES)]
    command += ["-p", "no:hypothesispytest", "-p", "no:cacheprovider", *arguments]
    return measure_afresh(command, project / "left", project, wanted=wanted, repetitions=2)


def test_every_call_is_timed_within_the_fixtures_of_its_test(project: Path) -> None:
    found = fresh(project, "kernels.py:inside")
    assert found.status == 0, found.printed
    document = read_document(project / "left")
    assert [measured.case for measured in document.measurements] == [*CASES]
    assert {len(measured.samples.kernel) for measured in document.measurements} == {20}
    assert document.complete


def test_the_times_of_all_repetitions_are_one_benchmark_of_pytest_benchmark(project: Path) -> None:
    found = fresh(project, "sdpa", wanted=[BenchmarkId(CASES[0], "sdpa")])
    assert found.file is not None, found.printed
    (benchmark,) = json.loads(found.file.read_text())["benchmarks"]
    assert benchmark["name"] == f"test_speed[{CASES[0]}]"
    assert len(benchmark["stats"]["data"]) == 20


def test_options_of_the_run_that_asks_do_not_reach_its_files(project: Path) -> None:
    written = ["--junitxml=junit.xml", "--benchmark-autosave", "--basetemp=temp", "-x", "--attn-gate=strict"]
    found = fresh(project, "sdpa", *written)
    assert found.status == 0, found.printed
    assert sorted(path.name for path in project.glob("*") if path.name not in ("__pycache__", "left")) == [
        "kernels.py",
        "pytest.ini",
        "test_speed.py",
    ]


def test_a_kernel_that_raises_later_is_a_failed_cell_that_says_when(project: Path) -> None:
    found = fresh(project, "kernels.py:tired", wanted=[BenchmarkId(CASES[0], "kernels.py:tired")])
    assert found.status == 1
    document = read_document(project / "left")
    assert document.measurements == ()
    (failed,) = document.failed
    assert failed.reason == "repetition 2: the kernel raised RuntimeError: enough"


def test_a_process_that_ends_inside_a_test_is_a_failure_without_times(project: Path) -> None:
    found = fresh(project, "kernels.py:leaves", "-s")
    assert (found.status, found.file) == (3, None)
    assert "on its way" in found.printed
    assert found.printed.endswith("pytest:main: the process ended with status 0 before it answered")
    assert not read_document(project / "left").complete
