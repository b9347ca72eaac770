"""The stored form of a run: smaller, and the same to the gate."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from synthetic import Host, content, document, named

from pytest_attn.gate.compact import compact_run
from pytest_attn.gate.run_file import parse_run
from pytest_attn.gate.store import Store
from pytest_attn.gate.timing import Timing

BASELINES = Path(__file__).parents[2] / "baselines"


def full_run() -> bytes:
    """A run with something in every field that the gate reads."""
    found = document(Host().run(named(3), changes={"source_hash": "abc"}, unit="GPU-a"))
    for entry in found["benchmarks"]:
        entry["extra_info"]["attn"] |= {"discarded": 2, "flops": 3 * 10**8, "control_flops": 10**8}
    return json.dumps(found).encode()


def numbers(value: Any) -> list[float]:
    """The floats in a field of a timing."""
    if isinstance(value, tuple):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("name", [field.name for field in fields(Timing) if field.name != "id"])
def test_the_gate_reads_the_same_of_each_timing(name: str) -> None:
    given = full_run()
    whole, stored = parse_run(given, "run.json"), parse_run(compact_run(given, "run.json"), "run.json")
    for id, timing in whole.benchmarks.items():
        before, after = getattr(timing, name), getattr(stored.benchmarks[id], name)
        assert numbers(after) == pytest.approx(numbers(before), rel=5e-6)
        assert bool(numbers(before)) or after == before


def test_it_says_of_itself_what_the_run_said() -> None:
    given = full_run()
    whole, stored = parse_run(given, "run.json"), parse_run(compact_run(given, "run.json"), "run.json")
    for name in ("machine", "unit", "process", "when", "commit", "failed", "complete"):
        assert getattr(stored, name) == getattr(whole, name)


def test_what_was_compact_stays_as_it_is() -> None:
    once = compact_run(content(Host().run(named(2))), "run.json")
    assert compact_run(once, "run.json") == once


def test_a_benchmark_of_another_suite_stays_as_it_is() -> None:
    given = json.loads(full_run())
    other = {"name": "test_b", "extra_info": {}, "options": {"timer": "x"}, "stats": {"median": 1 / 3, "total": 1.0}}
    given["benchmarks"].append(other)
    assert json.loads(compact_run(json.dumps(given).encode(), "run.json"))["benchmarks"][-1] == other


def test_a_file_that_is_no_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^run\.json: "):
        compact_run(b"{", "run.json")


@pytest.mark.parametrize("folder", [path for path in BASELINES.iterdir() if path.is_dir()], ids=lambda path: path.name)
def test_the_committed_baselines_can_be_read(folder: Path) -> None:
    store = Store(folder)
    assert store.baseline() is not None
    assert store.golden() is not None


def test_the_committed_baselines_are_small() -> None:
    files = [path for path in BASELINES.rglob("*") if path.is_file() and path.parent.name != "nightly"]
    assert sum(path.stat().st_size for path in files) < 10**6
