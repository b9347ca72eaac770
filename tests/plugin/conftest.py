"""How these tests run the packaged suite on tiny cells in a project of their own, and read what it says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
from gated import Gated

from pytest_attn.records.document import Document, read_document
from pytest_attn.records.record import Record

CASE = "b1-h1-s64-d32-float32-out-exact"

KERNELS = """
import torch

number = 3

def dense(query, key, value, scale):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)

def none(query, key, value, scale):
    return None

def shifted(query, key, value, scale):
    return dense(query, key, value, scale) + 1e-4

class Prepared:
    def prepare(self, problem, inputs):
        return lambda: dense(inputs.query, inputs.key, inputs.value, problem.scale)
"""

WITHOUT_HYPOTHESIS = "-p no:hypothesispytest"
"""For processes of their own, in which that plugin is slow to start."""

Judge = Callable[..., pytest.RunResult]
Collect = Callable[..., list[str]]
Refuse = Callable[..., str]
ReadDocument = Callable[..., Document]
Records = Callable[..., tuple[Record, ...]]
ReproduceLine = Callable[[pytest.RunResult], str]
RunReproduceLine = Callable[[pytest.RunResult], subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project with `kernels.py`."""
    # These tests may run in a worker of xdist; the pytest that they run is none, and pytest-benchmark asks.
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        monkeypatch.delenv(name)
    pytester.makepyfile(kernels=KERNELS)
    return pytester


@pytest.fixture
def judge(pytester: pytest.Pytester) -> Judge:
    """Judges one case, a tiny one unless told, with further arguments."""

    def run(*arguments: str, case: str = CASE) -> pytest.RunResult:
        return pytester.runpytest("--pyargs", "pytest_attn.suite.test_case", f"--attn-case={case}", "-rs", *arguments)

    return run


@pytest.fixture
def two_workers() -> tuple[str, ...]:
    """Deals the tests out to two xdist workers."""
    return ("-n2", *WITHOUT_HYPOTHESIS.split())


@pytest.fixture
def collect(pytester: pytest.Pytester) -> Collect:
    """The names of the tests that would run."""

    def run(*arguments: str) -> list[str]:
        hooks = pytester.inline_run("--collect-only", *arguments)
        return [item.name for item in hooks.getcall("pytest_collection_finish").session.items]

    return run


@pytest.fixture
def refusal(pytester: pytest.Pytester) -> Refuse:
    """The one sentence with which pytest refuses its arguments."""

    def run(*arguments: str) -> str:
        result = pytester.runpytest(*arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "Traceback" not in result.stdout.str() + result.stderr.str()
        lines = [line for line in result.errlines if line]
        assert len(lines) == 1
        return lines[0].removeprefix("ERROR: ")

    return run


@pytest.fixture
def reproduce_line() -> ReproduceLine:
    """The first command that a run printed for a failed cell."""

    def read(result: pytest.RunResult) -> str:
        line = next(line for line in result.outlines if line.startswith("reproduce: "))
        return line.removeprefix("reproduce: ")

    return read


@pytest.fixture
def run_reproduce_line(reproduce_line: ReproduceLine, tmp_path_factory: pytest.TempPathFactory) -> RunReproduceLine:
    """Runs the first command that a run printed for a failed cell, from another directory."""

    def run(result: pytest.RunResult) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        environment["PYTEST_ADDOPTS"] = WITHOUT_HYPOTHESIS
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        command = reproduce_line(result)
        return subprocess.run(
            command, shell=True, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def document(pytester: pytest.Pytester) -> ReadDocument:
    """What a run wrote."""

    def read(folder: str = "out") -> Document:
        return read_document(pytester.path / folder)

    return read


@pytest.fixture
def records(document: ReadDocument) -> Records:
    """The records that a run wrote."""

    def read(folder: str = "out") -> tuple[Record, ...]:
        return document(folder).records

    return read


@pytest.fixture
def gated(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Gated:
    """A project whose kernel takes 4 ms, with synthetic times."""
    return Gated(pytester, monkeypatch)
