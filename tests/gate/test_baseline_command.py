"""`python -m pytest_attn baseline`: what it writes, and what it refuses before anything is measured for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from machine import IDS, Machine
from synthetic import KERNEL, MACHINE, document

from pytest_attn.__main__ import main
from pytest_attn.gate.store import Store


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


def test_a_run_on_a_noisy_machine_is_said_not_to_count(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.changes = lambda number: {"changes": {"again": ((1.0, 1.3),) * 20}} if number == 2 else {}
    main(["baseline", "record", "--runs=5"])
    assert "not counted: the machine was noisy for 3 of 3; " in capsys.readouterr().out


def test_a_machine_that_is_never_quiet_is_one_sentence(machine: Machine, refused: Callable[..., str]) -> None:
    machine.changes = lambda number: {"changes": {"again": ((1.0, 1.3),) * 20}}
    assert refused("record", "--runs=5") == "0 runs met a quiet machine, 5 must, and 2 times as many were started"
    assert len(machine.started) == 10


def test_a_run_that_fails_ends_the_recording_and_says_what_failed_in_a_line(
    machine: Machine, refused: Callable[..., str]
) -> None:
    machine.status = lambda number: 1
    assert refused("record") == "pytest ended with 1: FAILED test_one - it is wrong"
    assert len(machine.started) == 1
    assert Store(Path("baselines") / MACHINE).baseline() is None


def test_a_part_of_the_suite_is_recorded_and_said_to_be_one(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.changes = lambda number: {"complete": False}
    assert main(["baseline", "record", "-k", "float32", "--runs=5"]) == 0
    assert Store(Path("baselines") / MACHINE).baseline() is not None
    assert "a part of the suite; the rest of it is `new` to the gate, and passes" in capsys.readouterr().out


def test_an_accept_of_a_part_of_the_suite_loses_nothing(machine: Machine, refused: Callable[..., str]) -> None:
    main(["baseline", "record", "--runs=5"])
    machine.ids = IDS[:2]
    told = refused("accept", "--why=faster", "--runs=5", "-k", "one")
    assert f"{IDS[2]}: in the baseline and in none of these runs; name it if it is meant to go" in told


def test_a_run_that_was_stopped_and_given_as_a_file_is_refused(machine: Machine, refused: Callable[..., str]) -> None:
    files = []
    for number in range(5):
        files.append(f"--file=run{number}.json")
        Path(f"run{number}.json").write_text(json.dumps(document(machine.host.run(IDS, complete=False))))
    assert "only a part of the suite was asked for, or it ended early" in refused("record", *files)


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
        (["record", "--sessions=3"], "--sessions is 3; allowed: 1, or 5 and more"),
        (["record", "--sessions=6", "--runs=5"], "--runs is 5; allowed: 6 or more"),
        (["record", "--sessions=5", "--apart=-1"], "--apart is -1; allowed: minutes, 0 or more"),
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
