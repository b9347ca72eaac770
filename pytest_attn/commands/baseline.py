"""`python -m pytest_attn baseline`: the only way to write what later runs are compared with."""

from __future__ import annotations

import argparse
import getpass
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pytest_attn.commands.command import USAGE
from pytest_attn.devices.machine import key_of
from pytest_attn.execution.isolation.fresh import FreshRun, measure_afresh
from pytest_attn.gate.baseline import why_noisy_machine, why_not_baseline, why_partial
from pytest_attn.gate.recording import Plan, Recording
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.run_file import read_run
from pytest_attn.gate.store import Store
from pytest_attn.gate.streaks import RECORDING
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import seconds
from pytest_attn.text import counted

SUITE = ("--pyargs", "pytest_attn.suite.test_latency")
RUNS = 10
"""Fresh processes that `record` starts: with fewer, small slowdowns are lost in the spread between processes."""

SESSIONS = 5
"""Sessions that say something of how much they differ, at least."""

OF_A_SESSION = 3
"""Fresh processes of one of several sessions, where no number is named."""

APART = 60.0
"""Minutes between sessions, where no number is named."""

MORE = 2
"""So many times as many processes are started at most, where some meet a noisy machine."""


def add_baseline(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "baseline",
        help="record, replace, pin or show the times that later runs are compared with",
        description="Write the baseline of this machine. Without --file, the latency tests run in fresh processes; "
        "further arguments go to pytest, in place of the packaged suite where they name tests.",
        allow_abbrev=False,
    )
    parser.add_argument("action", choices=("record", "accept", "pin", "show"))
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="take this run, which --benchmark-json or --benchmark-save wrote, instead of measuring; repeatable",
    )
    parser.add_argument("--why", default="", help="the reason, which the ledger keeps; `accept` and `pin` need one")
    parser.add_argument("--kernel", action="append", metavar="NAME", help="time this kernel; repeatable")
    parser.add_argument(
        "--runs",
        type=int,
        metavar="N",
        help=f"fresh processes in all (default: {RUNS}; {OF_A_SESSION} in each of several sessions)",
    )
    parser.add_argument(
        "--sessions",
        type=int,
        default=1,
        metavar="N",
        help="spread them over so many sessions, apart in time, and learn how far these differ; ended early, as by a "
        f"reboot, the same command goes on (default: 1; {SESSIONS} or more say something)",
    )
    parser.add_argument(
        "--apart", type=float, default=APART, metavar="MINUTES", help=f"between sessions (default: {APART:g})"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N, npu or npu:N (default: cpu)")
    parser.add_argument("--baselines", type=Path, default=Path("baselines"), metavar="DIR", help="(default: baselines)")
    parser.add_argument(
        "--gone", action="append", default=[], metavar="CASE", help="a case that may leave the baseline; repeatable"
    )
    parser.set_defaults(run=run_baseline, passes_rest=True)


def run_baseline(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Do what was asked; returns the exit status."""
    try:
        store = Store(asked.baselines / _machine(asked.device))
        if asked.action == "show":
            return _show(store)
        if asked.action == "pin":
            store.pin(who=_who(), when=_now(), why=asked.why)
            print(f"{store.folder}: the baseline in force is the golden one now")
            return 0
        _refuse(asked, store)
        return _write(asked, store, rest)
    except ValueError as error:
        print(f"baseline: {error}", file=sys.stderr)
        return USAGE


def _refuse(asked: argparse.Namespace, store: Store) -> None:
    """Raises ValueError before anything is measured for nothing."""
    fewest = Rule().fewest_runs
    if asked.sessions != 1 and asked.sessions < SESSIONS:
        raise ValueError(f"--sessions is {asked.sessions}; allowed: 1, or {SESSIONS} and more")
    if not asked.apart >= 0:
        raise ValueError(f"--apart is {asked.apart:g}; allowed: minutes, 0 or more")
    if asked.runs is None:
        asked.runs = RUNS if asked.sessions == 1 else OF_A_SESSION * asked.sessions
    fewest = max(fewest, asked.sessions)
    if asked.runs < fewest:
        raise ValueError(f"--runs is {asked.runs}; allowed: {fewest} or more")
    if asked.action == "accept" and not asked.why.strip():
        raise ValueError("--why: empty; every change of a baseline says why")
    exists = store.baseline() is not None
    if exists and asked.action == "record":
        raise ValueError(f"{store.folder}: has a baseline already; accept --why=... replaces it")
    if not exists and asked.action == "accept":
        raise ValueError(f"{store.folder}: no baseline to replace; record makes the first")


def _write(asked: argparse.Namespace, store: Store, rest: Sequence[str]) -> int:
    gone, why = _gone(asked.gone, store), asked.why.strip() or "first record"
    recording = Recording(store.folder / RECORDING)
    sessions = None if asked.file else _measured(asked, store, rest, recording)
    of_file = {path: name for name, files in sessions.items() for path in files} if sessions else {}
    files = asked.file or [*of_file]
    # Each measured what it was asked for, to its end.
    part = any(not read_run(path).complete for path in of_file)
    if asked.action == "record":
        change = store.record(files, who=_who(), when=_now(), why=why, sessions=of_file, part=part)
    else:
        change = store.accept(files, who=_who(), when=_now(), why=why, gone=gone, sessions=of_file, part=part)
    if sessions:
        recording.drop()
    for case in change.cases:
        print(f"{seconds(case['old']):>9} -> {seconds(case['new']):>9}  {case['case']} [{case['kernel']}]")
    print(f"{store.folder}: {len(change.files)} runs, {len(change.cases)} benchmarks, by {change.who}: {change.why}")
    if part:
        print("a part of the suite; the rest of it is `new` to the gate, and passes")
    if sessions and len(sessions) < SESSIONS:
        print(
            f"{len(sessions)} of {SESSIONS} sessions: how far they differ is assumed; --sessions={SESSIONS} learns it"
        )
    return 0


def _measured(
    asked: argparse.Namespace, store: Store, rest: Sequence[str], recording: Recording
) -> dict[str, list[Path]]:
    """Files of runs on a quiet machine by session, each of a process of its own. Raises ValueError, one sentence, where
    they do not come; those that came are kept, and the next call goes on."""
    tests = any(Path(word.partition("::")[0]).exists() or word == "--pyargs" for word in rest)
    arguments = [*rest, *([] if tests else SUITE), f"--attn-device={asked.device}"]
    arguments += [f"--attn-kernel={kernel}" for kernel in asked.kernel or _kernels(store)]
    plan = Plan.of(asked.sessions, asked.runs, timedelta(minutes=asked.apart))
    recording.begin(arguments)
    if before := sum(map(len, recording.sessions.values())):
        print(f"{before} runs are there already, in {recording.folder}", flush=True)
    try:
        _measure_rest(plan, arguments, recording)
    except ValueError as error:
        kept = sum(map(len, recording.sessions.values()))
        if not kept:
            recording.drop()
            raise
        told = f"{kept} run{'s are' if kept > 1 else ' is'} kept in {recording.folder}; the same command goes on"
        raise ValueError(f"{error}; {told}") from None
    return recording.sessions


def _measure_rest(plan: Plan, arguments: Sequence[str], recording: Recording) -> None:
    """Start processes until none is lacking. Raises ValueError where one fails, or too many meet a noisy machine."""
    patience = MORE * plan.sessions * plan.processes
    while plan.lacking(recording.sessions) or _why_more(recording):
        if not patience:
            quiet = sum(map(len, recording.sessions.values()))
            why = _why_more(recording) if not plan.lacking(recording.sessions) else ""
            lacking = f"{quiet} runs met a quiet machine, {plan.sessions * plan.processes} must"
            raise ValueError(why or f"{lacking}, and {MORE} times as many were started")
        session, wait = recording.session_at(_clock(), plan)
        if wait:
            number = len(recording.sessions) + 1
            print(f"session {number} begins in {wait.total_seconds() / 60:.0f} minutes; ended before, ", end="")
            print("the same command goes on", flush=True)
            time.sleep(wait.total_seconds())
            continue
        patience -= 1
        with tempfile.TemporaryDirectory(prefix="attn-runs-") as folder:
            fresh = measure_afresh(arguments, Path(folder) / "run", Path.cwd())
            if fresh.status != 0 or fresh.file is None:
                raise ValueError(f"pytest ended with {fresh.status}: {_why_failed(fresh)}")
            run = read_run(fresh.file)
            prefix = f"{run.source}: "
            if why := why_partial(run, part=True):
                raise ValueError(why.removeprefix(prefix))
            noise = why_noisy_machine(run, Rule())
            if not noise:
                recording.keep(fresh.file, session)
        if noise:
            print(f"not counted: {noise.removeprefix(prefix)}", flush=True)
        else:
            done = sum(map(len, recording.sessions.values()))
            print(f"run {done} of {plan.sessions * plan.processes}: measured", flush=True)


def _why_more(recording: Recording) -> str:
    """Why the runs that are there do not do, one sentence; empty where they do."""
    runs = [read_run(file) for files in recording.sessions.values() for file in files]
    return why_not_baseline(runs, Rule(), part=True)


def _why_failed(fresh: FreshRun) -> str:
    """What failed in a process, in one line: the first test that pytest names, else its last words."""
    lines = [line.strip() for line in fresh.printed.splitlines() if line.strip()]
    named = (line for line in lines if line.startswith(("FAILED ", "ERROR ", "ERROR: ")))
    return next(named, lines[-1] if lines else "it printed nothing")


def _kernels(store: Store) -> list[str]:
    """The kernels of the baseline in force; without one, the default of pytest-attn."""
    baseline = store.baseline()
    return sorted({id.kernel for id in baseline.expected}) if baseline else []


def _gone(cases: Sequence[str], store: Store) -> frozenset[BenchmarkId]:
    baseline = store.baseline() if cases else None
    known = {id for run in baseline.runs for id in run.benchmarks} if baseline else set()
    for case in cases:
        if not any(id.case == case for id in known):
            raise ValueError(f"--gone: {case!r} is no case of the baseline")
    return frozenset(id for id in known if id.case in cases)


def _show(store: Store) -> int:
    baseline = store.baseline()
    if baseline is None:
        raise ValueError(f"{store.folder}: no baseline; record makes the first")
    for id, expected in sorted(baseline.expected.items()):
        spread = expected.spread
        print(
            f"{seconds(expected.seconds):>9}  spread {spread.process:.1%}, between sessions {spread.session:.1%}  "
            f"{expected.runs} runs in {counted(expected.sessions, 'session')}  {id}"
        )
    return 0


def _machine(device: str) -> str:
    from pytest_attn.options.options import read_options

    return key_of(read_options({"device": [device]}).device[0])


def _who() -> str:
    named = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    return named.stdout.strip() or getpass.getuser()


def _clock() -> datetime:
    return datetime.now(UTC)


def _now() -> str:
    return _clock().isoformat(timespec="seconds")
