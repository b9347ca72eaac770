"""Baselines lie where pytest-benchmark finds them, change only by record and accept, and are never half written."""

from __future__ import annotations

import errno
import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.storage.file import FileStorage
from pytest_benchmark.utils import get_machine_id
from synthetic import MACHINE, Host, content, document, named

from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.changes import LEDGER, read_changes
from pytest_attn.gate.decide import decide
from pytest_attn.gate.run_file import read_run
from pytest_attn.gate.store import LOCK, Store, machine_id
from pytest_attn.gate.stored_run import StoredRun

IDS = named(2)
BY: dict[str, Any] = {"who": "a reviewer", "when": "2026-11-25T03:00:00+00:00", "why": "first of this machine"}


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "baselines" / MACHINE)


def written(folder: Path, runs: list[StoredRun]) -> list[Path]:
    """The files that so many processes left."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{run.process}.json" for run in runs]
    for path, run in zip(paths, runs, strict=True):
        path.write_bytes(content(run))
    return paths


@pytest.fixture
def fresh(tmp_path: Path, host: Host) -> list[Path]:
    return written(tmp_path / "fresh", host.runs(5, IDS))


def listing(store: Store) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(store.folder.rglob("*")) if path.is_file()}


def numbers(store: Store) -> list[int]:
    """Of the files that changes placed."""
    return sorted(int(path.name[:4]) for path in store.folder.rglob("[0-9][0-9][0-9][0-9]_*.json"))


def refused(store: Store, files: list[Path], kind: str = "record", **given: Any) -> str:
    """The sentence of a refusal, which leaves everything as it was."""
    before = listing(store)
    with pytest.raises(ValueError, match=r"\w") as caught:
        getattr(store, kind)(files, **BY | given)
    assert listing(store) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_recorded_is_the_baseline(store: Store, fresh: list[Path]) -> None:
    store.record(fresh, **BY)
    found = store.baseline()
    assert found is not None
    assert (found.machine, len(found.runs), found.expected.keys()) == (MACHINE, 5, set(IDS))


def test_a_machine_without_a_ledger_has_no_baseline(store: Store) -> None:
    assert store.baseline() is None
    assert store.golden() is None


def test_pytest_benchmark_finds_the_runs_as_its_own(store: Store, fresh: list[Path]) -> None:
    info = json.loads(fresh[0].read_bytes())["machine_info"]
    store.record(fresh, **BY)
    storage = FileStorage(str(store.folder), logging.getLogger(), machine_id(fresh[0].read_bytes()))
    assert [path.name for path in storage.query("[0-9][0-9][0-9][0-9]_")] == [
        f"000{n}_record.json" for n in range(1, 6)
    ]
    assert storage.get("x").parent.name == f"Linux-CPython-{info['python_version'][:4]}-64bit"


def test_the_folder_is_named_as_pytest_benchmark_names_it() -> None:
    import platform

    info = {
        "system": platform.system(),
        "python_implementation": platform.python_implementation(),
        "python_version": platform.python_version(),
        "cpu": {"bits": int(platform.architecture()[0][:2])},
    }
    assert machine_id(json.dumps({"machine_info": info}).encode()) == get_machine_id()


def test_a_newer_python_keeps_the_baseline(store: Store, fresh: list[Path], host: Host) -> None:
    store.record(fresh, **BY)
    newer = document(host.run(IDS))
    newer["machine_info"]["python_version"] = "3.12.1"
    path = store.folder / machine_id(json.dumps(newer).encode()) / "0001_autosave.json"
    path.parent.mkdir()
    path.write_text(json.dumps(newer))
    baseline = store.baseline()
    assert baseline is not None
    assert path.parent.name == "Linux-CPython-3.12-64bit"
    assert {decision.word for decision in decide(baseline, [read_run(path)])} == {"same"}


def test_every_change_says_who_when_why_and_the_old_and_new_of_each_case(
    store: Store, fresh: list[Path], tmp_path: Path, host: Host
) -> None:
    store.record(fresh, **BY)
    store.accept(written(tmp_path / "later", host.runs(5, IDS, slow=0.5)), **BY | {"why": "exact exp is slower"})
    first, second = read_changes(store.folder)
    assert (first.kind, second.kind, second.who, second.why) == ("record", "accept", BY["who"], "exact exp is slower")
    assert all(case["old"] is None for case in first.cases)
    assert all(case["new"] / case["old"] == pytest.approx(1.5, rel=0.1) for case in second.cases)


def test_what_was_accepted_takes_the_place_of_the_old(
    store: Store, fresh: list[Path], tmp_path: Path, host: Host
) -> None:
    store.record(fresh, **BY)
    store.accept(written(tmp_path / "later", host.runs(5, IDS, slow=0.5)), **BY)
    baseline = store.baseline()
    assert baseline is not None
    assert baseline.expected[IDS[0]].seconds == pytest.approx(6e-3, rel=0.1)
    assert len(list(store.folder.rglob("*_*.json"))) == 10


def test_runs_that_are_neither_in_force_nor_golden_are_removed_and_the_ledger_keeps_their_times(
    store: Store, fresh: list[Path], tmp_path: Path, host: Host
) -> None:
    store.record(fresh, **BY)
    for step in (1, 2):
        store.accept(written(tmp_path / f"step{step}", host.runs(5, IDS, slow=0.5 * step)), **BY)
    assert numbers(store) == [*range(1, 6), *range(11, 16)]
    _, second, third = read_changes(store.folder)
    assert second.cases[0]["new"] == third.cases[0]["old"] == pytest.approx(6e-3, rel=0.1)
    assert store.baseline() is not None
    assert store.golden() is not None


def test_a_pin_removes_the_runs_that_were_golden(store: Store, fresh: list[Path], tmp_path: Path, host: Host) -> None:
    store.record(fresh, **BY)
    store.accept(written(tmp_path / "later", host.runs(5, IDS, slow=0.5)), **BY)
    store.pin(**BY)
    assert numbers(store) == [*range(6, 11)]


def test_files_that_no_change_names_are_never_removed(
    store: Store, fresh: list[Path], tmp_path: Path, host: Host
) -> None:
    store.record(fresh, **BY)
    autosaved = store.folder / "Linux-CPython-3.11-64bit" / "0006_autosave.json"
    autosaved.write_bytes(content(host.run(IDS)))
    kept = store.keep(autosaved)
    for step in (1, 2):
        store.accept(written(tmp_path / f"step{step}", host.runs(5, IDS)), **BY)
    assert autosaved.is_file()
    assert kept.is_file()


def test_what_could_not_be_removed_does_no_harm_and_goes_with_the_next_change(
    store: Store, fresh: list[Path], tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def forbid(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".json":
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path, missing_ok=missing_ok)

    store.record(fresh, **BY)
    store.accept(written(tmp_path / "step1", host.runs(5, IDS)), **BY)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", forbid)
        store.accept(written(tmp_path / "step2", host.runs(5, IDS)), **BY)
    assert numbers(store) == [*range(1, 16)]
    assert store.baseline() is not None
    store.accept(written(tmp_path / "step3", host.runs(5, IDS)), **BY)
    assert numbers(store) == [*range(1, 6), *range(16, 21)]


def test_an_interruption_after_the_ledger_is_in_place_removes_no_run_in_force(
    store: Store, fresh: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def interrupted(source: Any, target: Any) -> None:
        real(source, target)
        if Path(target).name == LEDGER:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.record(fresh, **BY)
    assert store.baseline() is not None


def test_what_autosave_leaves_is_history_and_no_baseline(store: Store, fresh: list[Path], host: Host) -> None:
    store.record(fresh, **BY)
    red = host.run(IDS, slow=0.5)
    (store.folder / "Linux-CPython-3.11-64bit" / "0006_autosave.json").write_bytes(content(red))
    baseline = store.baseline()
    assert baseline is not None
    assert len(baseline.runs) == 5
    assert len(store.stored()) == 6
    again = decide(baseline, [host.run(IDS, slow=0.5)], host.runs(5, IDS, slow=0.5))
    assert {decision.word for decision in again} == {"slower"}


def test_slow_drift_that_every_accept_passes_is_found_against_the_golden_baseline(
    store: Store, fresh: list[Path], tmp_path: Path, host: Host
) -> None:
    store.record(fresh, **BY)
    for step in range(1, 9):
        store.accept(written(tmp_path / f"step{step}", host.runs(5, IDS, slow=0.012 * step)), **BY)
    run, fresh_processes = host.run(IDS, slow=0.1), host.runs(5, IDS, slow=0.1)
    rolling, golden = store.baseline(), store.golden()
    assert rolling is not None
    assert golden is not None
    assert {decision.word for decision in decide(rolling, [run], fresh_processes)} == {"same"}
    assert {decision.word for decision in decide(golden, [run], fresh_processes)} == {"slower"}


def test_a_pinned_baseline_is_the_golden_one(store: Store, fresh: list[Path], tmp_path: Path, host: Host) -> None:
    store.record(fresh, **BY)
    store.accept(written(tmp_path / "later", host.runs(5, IDS, slow=0.5)), **BY)
    store.pin(**BY)
    golden = store.golden()
    assert golden is not None
    assert golden.expected[IDS[0]].seconds == pytest.approx(6e-3, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failed": 1}, "1 tests failed in it"),
        ({"complete": False}, "only a part of the suite"),
        ({"machine": "another-4-cores"}, f"measured on another-4-cores, not {MACHINE}"),
        ({"unit": "GPU-b"}, f"the runs are of different machines: GPU-b, {MACHINE}"),
        ({"changes": {"again": ((1.0, 1.5),) * 20}}, "the machine was noisy for 2 of 2"),
        (
            {"changes": {"conditions": {"device": "cpu", "threads": 8, "seed": 42, "cold": False}}},
            "threads 1 there, threads 8 here",
        ),
        ({"changes": {"seconds": (0.0,) * 20}}, "20 times of the kernel are no times"),
        ({"changes": {"control": ()}}, "no raw times"),
        ({"slow": -0.9}, "faster than the machine allows"),
    ],
)
def test_one_run_that_is_not_fit_spoils_a_baseline(
    store: Store, fresh: list[Path], tmp_path: Path, host: Host, changes: dict[str, Any], words: str
) -> None:
    bad = written(tmp_path / "bad", [host.run(IDS, **changes)])
    assert words in refused(store, fresh + bad)


def test_four_runs_are_no_baseline(store: Store, fresh: list[Path]) -> None:
    assert "4 runs; a baseline takes 5" in refused(store, fresh[:4])


def test_one_process_five_times_is_no_baseline(store: Store, fresh: list[Path]) -> None:
    assert "two of the runs are from one process" in refused(store, [fresh[0]] * 5)


def test_runs_of_different_cases_are_no_baseline(store: Store, fresh: list[Path], tmp_path: Path, host: Host) -> None:
    assert "is in some of the runs only" in refused(store, fresh + written(tmp_path / "odd", [host.run(IDS[:1])]))


def test_a_case_that_never_met_a_quiet_machine_is_named(store: Store, tmp_path: Path, host: Host) -> None:
    runs = host.runs(5, IDS)
    noisy = replace(runs[0].benchmarks[IDS[1]], again=((1.0, 1.5),) * 20)
    runs[0] = replace(runs[0], benchmarks={**runs[0].benchmarks, IDS[1]: noisy})
    assert f"{IDS[1]}: 4 of 5 runs met a quiet machine" in refused(store, written(tmp_path / "fresh", runs))


@pytest.mark.parametrize("name", ["who", "why"])
def test_a_change_without_a_name_or_a_reason_is_refused(store: Store, fresh: list[Path], name: str) -> None:
    assert refused(store, fresh, **{name: " "}).startswith(f"{name}: empty")


def test_a_second_record_is_refused(store: Store, fresh: list[Path]) -> None:
    store.record(fresh, **BY)
    assert "has a baseline already; accept replaces it" in refused(store, fresh)


def test_an_accept_of_nothing_is_refused(store: Store, fresh: list[Path]) -> None:
    assert "no baseline to replace" in refused(store, fresh, "accept")


def test_a_case_vanishes_only_by_name(store: Store, fresh: list[Path], tmp_path: Path, host: Host) -> None:
    store.record(fresh, **BY)
    fewer = written(tmp_path / "fewer", host.runs(5, IDS[:1]))
    assert str(IDS[1]) in refused(store, fewer, "accept")
    assert store.accept(fewer, **BY, gone=frozenset({IDS[1]})).cases[1]["new"] is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "is gone"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "truncated"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"2026', b'"2025')), "changed since"),
    ],
    ids=["gone", "empty", "truncated", "edited"],
)
def test_a_damaged_baseline_is_one_sentence_and_never_an_older_one(
    store: Store, fresh: list[Path], damage: Any, words: str
) -> None:
    store.record(fresh, **BY)
    damage(sorted(store.folder.rglob("0003_*.json"))[0])
    with pytest.raises(ValueError, match=words):
        store.baseline()


def test_a_baseline_copied_from_another_machine_is_refused(store: Store, fresh: list[Path]) -> None:
    store.record(fresh, **BY)
    other = Store(store.folder.parent / "another-4-cores")
    store.folder.rename(other.folder)
    with pytest.raises(ValueError, match=f"measured on {MACHINE}, not another-4-cores"):
        other.baseline()


@pytest.mark.parametrize("line", ["{", "[]", '{"kind": "record"}', "\x00"])
def test_a_damaged_ledger_is_one_sentence(store: Store, fresh: list[Path], line: str) -> None:
    store.record(fresh, **BY)
    with (store.folder / LEDGER).open("a", encoding="utf-8") as ledger:
        ledger.write(line + "\n")
    with pytest.raises(ValueError, match=rf"{LEDGER}:2: no line of a ledger"):
        store.baseline()


def test_two_writers_at_once_are_refused(store: Store, fresh: list[Path]) -> None:
    store.folder.mkdir(parents=True)
    (store.folder / LOCK).touch()
    assert "another process is writing this baseline" in refused(store, fresh)


def test_the_lock_is_gone_after_a_refusal(store: Store, fresh: list[Path]) -> None:
    refused(store, fresh, "accept")
    assert not (store.folder / LOCK).exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(store: Store, fresh: list[Path]) -> None:
    store.folder.parent.write_text("a file where a folder should be")
    assert "cannot be written" in refused(store, fresh)


def test_a_folder_that_may_not_be_written_is_one_sentence(
    store: Store, fresh: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(*arguments: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", forbid)
    assert "cannot be written (Permission denied)" in refused(store, fresh)


@pytest.mark.parametrize("after", [0, 3, 5])
def test_a_disk_that_fills_leaves_the_old_baseline_in_force(
    store: Store, fresh: list[Path], tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    store.record(fresh, **BY)
    later = written(tmp_path / "later", host.runs(5, IDS, slow=0.5))
    before, calls = listing(store), []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match="No space left on device"):
        store.accept(later, **BY)
    assert listing(store) == before
    assert isinstance(store.baseline(), Baseline)


def test_a_run_that_vanished_before_it_was_read_is_one_sentence(store: Store, fresh: list[Path]) -> None:
    fresh[2].unlink()
    assert "the file is gone" in refused(store, fresh)


def test_a_full_range_of_numbers_is_one_sentence(store: Store, fresh: list[Path]) -> None:
    folder = store.folder / "Linux-CPython-3.11-64bit"
    folder.mkdir(parents=True)
    (folder / "9997_autosave.json").write_text("{}")
    assert "pytest-benchmark finds no file beyond number 9999" in refused(store, fresh)
