"""A baseline of several sessions is recorded apart in time, and goes on where it was ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from machine import Machine
from synthetic import MACHINE

from pytest_attn.__main__ import main
from pytest_attn.gate.changes import read_changes
from pytest_attn.gate.store import Store
from pytest_attn.gate.streaks import RECORDING

STORE = Store(Path("baselines") / MACHINE)
RECORD = ("baseline", "record", "--sessions=5")


def sessions() -> Counter[str]:
    """How many processes of each session the baseline holds."""
    baseline = STORE.baseline()
    assert baseline is not None
    return Counter(run.session for run in baseline.runs)


def test_sessions_follow_each_other_after_a_pause(machine: Machine) -> None:
    assert main([*RECORD]) == 0
    assert [*sessions().values()] == [3] * 5
    assert machine.slept == [3600.0] * 4


def test_the_pause_is_as_long_as_was_asked_for(machine: Machine) -> None:
    main([*RECORD, "--apart=90"])
    assert machine.slept == [5400.0] * 4


def test_a_single_session_has_no_pause(machine: Machine) -> None:
    main(["baseline", "record", "--runs=6"])
    assert machine.slept == []
    assert [*sessions().values()] == [6]


def test_what_is_kept_says_which_processes_are_of_one_session(machine: Machine) -> None:
    main([*RECORD])
    expected = STORE.baseline()
    assert expected is not None
    assert {each.sessions for each in expected.expected.values()} == {5}


def test_an_interruption_loses_nothing_and_the_same_command_goes_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(number: int) -> int:
        if number == 5:
            raise KeyboardInterrupt
        return 0

    machine.status = interrupted
    with pytest.raises(KeyboardInterrupt):
        main([*RECORD])
    assert STORE.baseline() is None
    machine.status = lambda number: 0
    assert main([*RECORD]) == 0
    assert len(machine.started) == 16
    assert [*sessions().values()] == [3] * 5


def test_a_session_that_a_reboot_cut_short_is_made_up_for_by_another(
    machine: Machine, refused: Callable[..., str]
) -> None:
    machine.status = lambda number: int(number == 5)
    assert "4 runs are kept in" in refused(*RECORD[1:])
    machine.now += timedelta(days=1)
    machine.status = lambda number: 0
    assert main([*RECORD]) == 0
    assert [*sessions().values()] == [3, 1, 3, 3, 3, 2]


def test_a_run_that_fails_says_so_in_a_line_and_keeps_the_others(machine: Machine, refused: Callable[..., str]) -> None:
    machine.status = lambda number: int(number == 4)
    told = refused("record", "--runs=6")
    kept = STORE.folder / RECORDING
    assert told == (
        f"pytest ended with 1: FAILED test_one - it is wrong; 3 runs are kept in {kept}; the same command goes on"
    )


def test_a_recording_of_other_tests_is_not_continued(machine: Machine, refused: Callable[..., str]) -> None:
    machine.status = lambda number: int(number == 4)
    refused("record", "--runs=6")
    told = refused("record", "--runs=6", "-k", "float32")
    assert "a recording of other tests is under way; delete the folder to begin anew" in told
    assert len(machine.started) == 4


def test_nothing_is_left_of_a_recording_once_it_is_a_baseline(machine: Machine) -> None:
    main([*RECORD])
    assert not (STORE.folder / RECORDING).exists()


def test_one_session_is_said_to_leave_something_unknown(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    main(["baseline", "record", "--runs=6"])
    told = capsys.readouterr().out
    assert "1 of 5 sessions: how far they differ is assumed; --sessions=5 learns it" in told


def test_several_sessions_are_not_said_to(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    main([*RECORD])
    assert "is assumed" not in capsys.readouterr().out


def test_what_sessions_taught_is_kept_for_the_baselines_that_follow(machine: Machine) -> None:
    main([*RECORD])
    before = STORE.baseline()
    main(["baseline", "accept", "--why=tiles of 64", "--runs=6"])
    after = STORE.baseline()
    assert before is not None
    assert after is not None
    learned = {id: each.spread.between.degrees for id, each in before.expected.items()}
    assert {id: each.spread.between.degrees for id, each in after.expected.items()} == learned


def test_the_ledger_has_the_component_of_each_benchmark(machine: Machine) -> None:
    main([*RECORD])
    (change,) = read_changes(STORE.folder)
    assert all(case["degrees"] == 4 and isinstance(case["between"], float) for case in change.cases)


def test_a_ledger_whose_component_is_none_is_refused(machine: Machine) -> None:
    main([*RECORD])
    main(["baseline", "accept", "--why=tiles of 64", "--runs=6"])
    ledger = STORE.folder / "CHANGES.jsonl"
    ledger.write_text(ledger.read_text().replace('"between": ', '"between": "no", "was": ', 1))
    with pytest.raises(ValueError, match="no case of a ledger of baselines"):
        STORE.baseline()
