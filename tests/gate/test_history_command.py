"""`python -m pytest_attn history` over the runs that a store holds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from synthetic import MACHINE, Host, content, named

from pytest_attn.__main__ import main
from pytest_attn.gate.store import Store
from pytest_attn.gate.stored_run import StoredRun

IDS = named(3)
BY: dict[str, Any] = {"who": "a reviewer", "when": "2026-11-01T03:00:00+00:00", "why": "first of this machine"}
SLOW_FROM = 9

Command = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "baselines" / MACHINE)


@pytest.fixture
def history(store: Store, capsys: pytest.CaptureFixture[str]) -> Command:
    """What the command prints; where `refused`, the one sentence of its refusal."""

    def run(*arguments: str, machine: str | None = MACHINE, refused: bool = False) -> str:
        named = [f"--machine={machine}"] if machine else []
        status = main(["history", f"--baselines={store.folder.parent}", *named, *arguments])
        printed = capsys.readouterr()
        assert (status, bool(printed.out)) == ((4, False) if refused else (0, True)), printed.err
        if refused:
            assert printed.err.count("\n") == 1
        return printed.err if refused else printed.out

    return run


def written(path: Path, run: StoredRun, day: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(run, when=f"2026-11-{day:02}T03:00:00+00:00"))
    return path


@pytest.fixture
def daily_runs(store: Store, tmp_path: Path) -> None:
    """A golden baseline of five runs, then a run on each of 16 days; one benchmark is 20 % slower from a day on."""
    host = Host()
    fresh = [written(tmp_path / f"{number}.json", run, 1) for number, run in enumerate(host.runs(5, IDS))]
    store.record(fresh, **BY)
    for day in range(2, 18):
        run = host.run(IDS, slow={IDS[1]: 0.2 if day >= SLOW_FROM else 0.0})
        store.keep(written(tmp_path / "run.json", run, day))


@pytest.mark.usefixtures("daily_runs")
def test_the_slower_benchmark_stands_first_with_its_day_and_its_drift(history: Command) -> None:
    title, _, worst, change, *others = history().splitlines()
    assert title == f"{MACHINE}: 21 runs, 2026-11-01 to 2026-11-17, 3 benchmarks, worst first"
    runs, _, ratio, golden, *_, case, _kernel = worst.split()
    assert (runs, case) == ("21", IDS[1].case)
    assert float(ratio) == pytest.approx(1.2, abs=0.03)
    assert float(golden.rstrip("%")) == pytest.approx(20, abs=3)
    assert "between 2026-11-08T03:00:00+00:00 0abe94d and 2026-11-09T03:00:00+00:00 0abe94d" in change
    assert len(others) == 2


@pytest.mark.usefixtures("daily_runs")
def test_one_case_or_kernel_is_shown_alone(history: Command) -> None:
    assert len(history(f"--case={IDS[0].case}").splitlines()) == 3
    assert len(history(f"--kernel={IDS[0].kernel}").splitlines()) == 6


@pytest.mark.usefixtures("daily_runs")
def test_drift_is_from_the_pinned_baseline(history: Command, store: Store, tmp_path: Path) -> None:
    host = Host()
    slower = [written(tmp_path / f"s{number}.json", run, 18) for number, run in enumerate(host.runs(5, IDS, slow=0.5))]
    store.accept(slower, **BY | {"why": "a dearer kernel"})
    accepted = history(f"--case={IDS[0].case}").splitlines()[2].split()[3]
    store.pin(**BY | {"why": "a new reference"})
    pinned = history(f"--case={IDS[0].case}").splitlines()[2].split()[3]
    assert float(accepted.rstrip("%")) == pytest.approx(50, abs=4)
    assert float(pinned.rstrip("%")) == pytest.approx(0, abs=3)


def test_a_run_is_kept_beside_the_baselines_and_becomes_none(history: Command, store: Store, tmp_path: Path) -> None:
    file = written(tmp_path / "run.json", Host().run(IDS), 3)
    printed = history(f"--add={file}", machine=None)
    assert printed.startswith(
        f"{MACHINE}: 1 run, 2026-11-03 to 2026-11-03, 3 benchmarks, worst first, no golden baseline\n"
    )
    assert [path.name for path in store.folder.iterdir()] == ["nightly"]
    assert store.baseline() is None


def test_the_same_run_is_not_kept_twice(history: Command, tmp_path: Path) -> None:
    file = written(tmp_path / "run.json", Host().run(IDS), 3)
    history(f"--add={file}")
    assert "is there already" in history(f"--add={file}", refused=True)


def test_a_kept_run_that_became_the_baseline_counts_once(history: Command, store: Store, tmp_path: Path) -> None:
    fresh = [written(tmp_path / f"{number}.json", run, number + 1) for number, run in enumerate(Host().runs(5, IDS))]
    store.record(fresh, **BY)
    store.keep(fresh[0])
    assert history().startswith(f"{MACHINE}: 5 runs, ")


def test_a_run_of_another_machine_is_not_added(history: Command, tmp_path: Path) -> None:
    file = written(tmp_path / "run.json", Host().run(IDS, machine="other"), 3)
    assert f"measured on other, not {MACHINE}" in history(f"--add={file}", refused=True)


@pytest.mark.usefixtures("daily_runs")
def test_what_no_run_has_is_refused(history: Command) -> None:
    assert history("--machine=amd", refused=True).endswith(f"amd: no such folder; --machine may be {MACHINE}\n")
    case = history("--case=b1-h9-s1024", refused=True)
    assert case.startswith("history: --case: no run has 'b1-h9-s1024'; allowed: b1-h")
    assert "--kernel: no run has 'sdpa'; allowed: block_sparse" in history("--kernel=sdpa", refused=True)


def test_no_folder_and_no_runs_are_one_sentence(history: Command, store: Store) -> None:
    assert "no such folder; no machine has runs there" in history(refused=True)
    store.folder.mkdir(parents=True)
    assert history(refused=True) == f"history: {store.folder}: no runs of this machine in it\n"
    (store.folder / "0001_broken.json").write_text("{")
    assert "no runs of this machine" in history(refused=True)


@pytest.mark.usefixtures("daily_runs")
def test_without_ruptures_a_sentence_says_what_to_install(history: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    assert "pip install 'pytest-attn[report]'" in history(refused=True)
