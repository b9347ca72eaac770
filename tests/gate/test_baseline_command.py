"""`python -m pytest_attn baseline`: what it writes, and what it refuses before anything is measured for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic import KERNEL, MACHINE, Host, document, named

from pytest_attn.__main__ import main
from pytest_attn.execution.isolation.fresh import TIMES, FreshRun
from pytest_attn.gate.store import Store

IDS = named(3)


class Machine:
    """A machine on which fresh processes take no time: what each finds is made up here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = Host(random=np.random.default_rng(5))
        self.started: list[list[str]] = []
        self.changes: Callable[[int], dict[str, object]] = lambda number: {}
        self.status = 0
        monkeypatch.setattr("pytest_attn.commands.baseline.measure_afresh", self._measure)
        monkeypatch.setattr("pytest_attn.devices.machine.machine_key", lambda accelerator="": accelerator or MACHINE)

    def _measure(self, arguments: list[str], folder: Path, directory: Path) -> FreshRun:
        self.started.append(arguments)
        file = folder / TIMES
        folder.mkdir()
        run = self.host.run(IDS, **self.changes(len(self.started)))
        file.write_text(json.dumps(document(run)))
        return FreshRun(self.status, "FAILED test_one\n1 failed", file)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """A fresh folder, and fresh processes that are not started."""
    monkeypatch.chdir(tmp_path)
    return Machine(monkeypatch)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The sentence with which the command refuses."""

    def run(*arguments: str) -> str:
        assert main(["baseline", *arguments]) == 4
        told = capsys.readouterr().err
        assert told.startswith("baseline: ")
        return told.removeprefix("baseline: ").strip()

    return run


def test_a_baseline_is_recorded_from_fresh_processes(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "record", f"--kernel={KERNEL}", "--runs=6"]) == 0
    assert len(machine.started) == 6
    assert machine.started[0] == [
        *("--pyargs", "pytest_attn.suite.test_latency", "--attn-device=cpu", f"--attn-kernel={KERNEL}")
    ]
    baseline = Store(Path("baselines") / MACHINE).baseline()
    assert baseline is not None
    assert len(baseline.runs) == 6
    assert "6 runs, 3 benchmarks, by " in capsys.readouterr().out


def test_tests_that_are_named_take_the_place_of_the_packaged_ones(machine: Machine) -> None:
    Path("test_speed.py").write_text("")
    main(["baseline", "record", "test_speed.py", "--runs=5"])
    assert machine.started[0] == ["test_speed.py", "--attn-device=cpu"]


def test_runs_on_a_noisy_machine_are_replaced_by_more(machine: Machine) -> None:
    noisy = {"again": ((1.0, 1.3),) * 20}
    machine.changes = lambda number: {"changes": noisy} if number in (2, 3) else {}
    assert main(["baseline", "record", "--runs=5"]) == 0
    assert len(machine.started) == 7


def test_a_machine_that_is_never_quiet_is_one_sentence_and_keeps_the_runs(
    machine: Machine, refused: Callable[..., str]
) -> None:
    machine.changes = lambda number: {"changes": {"again": ((1.0, 1.3),) * 20}}
    told = refused("record", "--runs=5")
    assert told.startswith("0 of 10 runs met a quiet machine, 5 must; what was measured is kept: ")
    assert Path(told.rpartition(" ")[2]).is_file()


def test_a_run_that_fails_ends_the_recording(machine: Machine, refused: Callable[..., str]) -> None:
    machine.status = 1
    assert "run 1: pytest ended with 1:\nFAILED test_one\n1 failed" in refused("record")
    assert len(machine.started) == 1
    assert not Path("baselines").exists()


def test_a_part_of_the_suite_is_refused_after_its_first_run(machine: Machine, refused: Callable[..., str]) -> None:
    machine.changes = lambda number: {"complete": False}
    assert "only a part of the suite was asked for" in refused("record", "-k", "float32")
    assert len(machine.started) == 1


def test_an_accept_measures_the_kernels_of_the_baseline_again(machine: Machine) -> None:
    main(["baseline", "record", "--runs=5"])
    assert main(["baseline", "accept", "--why=tiles of 64", "--runs=5"]) == 0
    assert machine.started[-1][-1] == f"--attn-kernel={KERNEL}"
    ledger = [json.loads(line) for line in (Path("baselines") / MACHINE / "CHANGES.jsonl").read_text().splitlines()]
    assert [(change["kind"], change["why"]) for change in ledger] == [
        ("record", "first record"),
        ("accept", "tiles of 64"),
    ]


def test_files_are_taken_instead_of_measuring(machine: Machine) -> None:
    files = []
    for number in range(5):
        files.append(f"--file=run{number}.json")
        Path(f"run{number}.json").write_text(json.dumps(document(machine.host.run(IDS))))
    assert main(["baseline", "record", *files]) == 0
    assert machine.started == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["record", "--runs=4"], "--runs is 4; allowed: 5 or more"),
        (["accept"], "--why: empty; every change of a baseline says why"),
        (["accept", "--why=x"], "no baseline to replace; record makes the first"),
        (["pin", "--why=x"], "no baseline to pin"),
        (["show"], "no baseline; record makes the first"),
        (["record", "--device=gpu"], "--attn-device: unknown device 'gpu'; allowed: cpu, "),
        (["record", "--file=gone.json"], "gone.json: the file is gone"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(
    machine: Machine, refused: Callable[..., str], arguments: list[str], sentence: str
) -> None:
    assert sentence in refused(*arguments)
    assert machine.started == []


def test_a_second_record_is_refused_before_anything_is_measured(machine: Machine, refused: Callable[..., str]) -> None:
    main(["baseline", "record", "--runs=5"])
    assert "has a baseline already; accept --why=... replaces it" in refused("record", "--runs=5")
    assert len(machine.started) == 5


def test_a_case_that_is_meant_to_go_must_be_there(machine: Machine, refused: Callable[..., str]) -> None:
    main(["baseline", "record", "--runs=5"])
    assert refused("accept", "--why=x", "--runs=5", "--gone=nothing").startswith(
        "--gone: 'nothing' is no case of the baseline"
    )


def test_the_baseline_in_force_is_shown(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    main(["baseline", "record", "--runs=5"])
    capsys.readouterr()
    assert main(["baseline", "show"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3
    assert all("ms  spread " in line and "5 runs in 1 session" in line for line in shown)


def test_a_pinned_baseline_is_the_golden_one(machine: Machine) -> None:
    main(["baseline", "record", "--runs=5"])
    assert main(["baseline", "pin", "--why=release 1"]) == 0
    assert "release 1" in (Path("baselines") / MACHINE / "CHANGES.jsonl").read_text()
