"""Over many runs a lasting change is dated, and noise is not."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from synthetic import Host, named

from pytest_attn.gate.history import change_points, histories

IDS = named(3)


def test_unchanged_code_has_no_change_point() -> None:
    found = histories(Host().runs(40, IDS))
    assert [history.changes for history in found] == [(), (), ()]
    assert all(abs(history.drift) < 0.03 for history in found)


def test_a_lasting_change_is_dated_to_its_run() -> None:
    host = Host()
    runs = [
        host.run(IDS, slow={IDS[0]: 0.12 if number >= 18 else 0.0}, when=f"run {number:02}", commit=f"c{number}")
        for number in range(30)
    ]
    changed, *others = histories(runs)
    (change,) = changed.changes
    assert (change.before, change.after) == ("run 17 c17", "run 18 c18")
    assert change.ratio == pytest.approx(1.12, abs=0.02)
    assert not any(other.changes for other in others)


def test_a_change_and_its_repair_are_two() -> None:
    host = Host()
    slow = [0.0] * 12 + [0.2] * 8 + [0.0] * 12
    (history,) = histories([host.run(IDS[:1], slow=each, when=f"{number}") for number, each in enumerate(slow)])
    assert [(change.after, change.ratio > 1) for change in history.changes] == [("12", True), ("20", False)]


def test_slow_drift_adds_up_though_no_run_shows_it_alone() -> None:
    host = Host()
    (history,) = histories([host.run(IDS[:1], slow=0.01 * number) for number in range(20)])
    assert history.drift == pytest.approx(0.15, abs=0.05)


def test_a_slower_machine_is_no_history_of_the_kernel() -> None:
    host = Host()
    runs = [host.run(IDS[:1], load=0.5 if number > 10 else 0.0) for number in range(20)]
    assert histories(runs)[0].changes == ()


def test_runs_without_usable_times_are_left_out() -> None:
    host = Host()
    lost = host.run(IDS[:1], changes={"unusable": "1 times of the kernel are no times"})
    (history,) = histories([*host.runs(4, IDS[:1]), lost])
    assert len(history.ratios) == 4


def test_too_few_runs_have_no_change_points() -> None:
    assert change_points(np.array([0.0, 0.0, 1.0, 1.0])) == ()


def test_without_the_library_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(ValueError, match=r"pip install 'pytest-attn\[report\]'"):
        change_points(np.zeros(10))
