"""pytest-benchmark itself writes runs that become a baseline, and compares with the baseline as it always does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_attn.gate.store import Store

pytestmark = pytest.mark.slow

SUITE = """
    def test_latency(benchmark):
        pair = [[2e-3, 2e-3]] * 20
        benchmark.extra_info["attn"] = {
            "schema": 1, "case": "b1-h1-s1024", "kernel": "k", "control": [1.0] * 20, "control_again": pair, "inner": 1,
        }
        benchmark.pedantic(sum, args=(range(1000),), rounds=20)
"""

CONFTEST = """
    import os
    from pytest_attn.gate.run_file import run_block

    def pytest_benchmark_update_json(config, benchmarks, output_json):
        output_json["attn"] = run_block(
            machine="a-machine", unit="", process=os.environ["PROCESS"], failed=0, complete=True)
"""


def test_a_baseline_serves_benchmark_compare(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(SUITE)
    pytester.makeconftest(CONFTEST)
    monkeypatch.setenv("PROCESS", "1")
    # These tests may run in a worker; the pytest that they run is none.
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    pytester.runpytest("-q", "--benchmark-json=run1.json", "-p", "no:attn").assert_outcomes(passed=1)
    document = json.loads(Path("run1.json").read_text())
    # The control is so slow that no machine could be that much faster: say that it does as much more work.
    document["benchmarks"][0]["extra_info"]["attn"] |= {"flops": 1, "control_flops": 10**9}
    for process in range(1, 6):
        document["attn"]["process"] = str(process)
        Path(f"run{process}.json").write_text(json.dumps(document))
    store = Store(pytester.path / "baselines" / "a-machine")
    store.record([Path(f"run{process}.json") for process in range(1, 6)], who="me", when="2026-11-25", why="first")
    result = pytester.runpytest("--benchmark-compare=0005", f"--benchmark-storage=file://{store.folder}")
    result.assert_outcomes(passed=1)
    assert "test_latency (NOW)" in result.stdout.str()
    assert "test_latency (0005_rec" in result.stdout.str()
