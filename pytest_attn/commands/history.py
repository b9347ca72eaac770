"""`python -m pytest_attn history`: how fast each benchmark was from run to run, and where that changed for good."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_attn.commands.command import USAGE
from pytest_attn.devices.machine import machine_key
from pytest_attn.gate.history import histories
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.run_file import read_run
from pytest_attn.gate.store import Store
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.report.history_table import history_table
from pytest_attn.text import closest, counted


def add_history(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "history",
        help="how fast each benchmark was from run to run, and where that changed for good",
        description="Print for each benchmark the level of its last runs over that of the first and over the golden "
        "baseline, and where it changed for good, worst first, from all runs that are stored below the folder of a "
        "machine. It is no gate: the exit status is 0 where there are runs.",
    )
    parser.add_argument("--baselines", type=Path, default=Path("baselines"), metavar="DIR", help="(default: baselines)")
    parser.add_argument("--machine", metavar="KEY", help="of this machine (default: this one's CPU, or that of --add)")
    parser.add_argument("--case", metavar="ID", help="this case only")
    parser.add_argument("--kernel", metavar="NAME", help="this kernel only")
    parser.add_argument(
        "--add",
        type=Path,
        metavar="FILE",
        help="first keep this run, which --benchmark-json wrote, beside the baselines; it becomes none",
    )
    parser.set_defaults(run=run_history)


def run_history(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print; returns the exit status."""
    try:
        machine = asked.machine or (read_run(asked.add).machine if asked.add else machine_key())
        store = Store(asked.baselines / (machine or "unnamed"))
        if asked.add:
            store.keep(asked.add)
        runs = _runs(store, asked.baselines)
        wanted = _wanted(runs, asked.case, asked.kernel)
        golden = store.golden()
        found = [history for history in histories(runs, golden=golden) if wanted(history.id)]
        if not found:
            raise ValueError(f"{store.folder}: no run has usable times of what was asked for")
    except ValueError as error:
        print(f"history: {error}", file=sys.stderr)
        return USAGE
    days = f"{runs[0].when[:10]} to {runs[-1].when[:10]}"
    pinned = "" if golden else ", no golden baseline"
    counts = f"{counted(len(runs), 'run')}, {days}, {counted(len(found), 'benchmark')}"
    print(f"{store.machine}: {counts}, worst first{pinned}")
    print(history_table(found, Rule().floor), end="")
    return 0


def _runs(store: Store, baselines: Path) -> list[StoredRun]:
    """The stored runs of the machine, oldest first, each process once. Raises ValueError where there is none."""
    if not store.folder.is_dir():
        machines = sorted(path.name for path in baselines.glob("*/")) if baselines.is_dir() else []
        allowed = f"--machine may be {closest(store.machine, machines)}" if machines else "no machine has runs there"
        raise ValueError(f"{store.folder}: no such folder; {allowed}")
    # A kept run that became the baseline is stored twice.
    runs = {run.process: run for run in store.stored() if run.machine == store.machine}
    if not runs:
        raise ValueError(f"{store.folder}: no runs of this machine in it")
    return list(runs.values())


def _wanted(runs: Sequence[StoredRun], case: str | None, kernel: str | None) -> Callable[[BenchmarkId], bool]:
    """Whether a benchmark was asked for. Raises ValueError for a case or kernel that no run has."""
    ids = {id for run in runs for id in run.benchmarks}
    for flag, given, known in (("case", case, {id.case for id in ids}), ("kernel", kernel, {id.kernel for id in ids})):
        if given is not None and given not in known:
            raise ValueError(f"--{flag}: no run has {given!r}; allowed: {closest(given, known)}")
    return lambda id: case in (None, id.case) and kernel in (None, id.kernel)
