"""`python -m pytest_attn baseline`: the only way to write what later runs are compared with."""

from __future__ import annotations

import argparse
import getpass
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pytest_attn.commands.command import USAGE
from pytest_attn.devices.machine import key_of
from pytest_attn.execution.isolation.fresh import TIMES, measure_afresh
from pytest_attn.gate.baseline import why_noisy_machine, why_not_baseline, why_partial
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.run_file import read_run
from pytest_attn.gate.store import Store
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import seconds

SUITE = ("--pyargs", "pytest_attn.suite.test_latency")
RUNS = 10
"""Fresh processes that `record` starts: with fewer, small slowdowns are lost in the spread between processes."""

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
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help=f"fresh processes (default: {RUNS})")
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
    folder = Path(tempfile.mkdtemp(prefix="attn-runs-"))
    try:
        files = asked.file or _measured(asked, store, rest, folder)
        gone = _gone(asked.gone, store)
        why = asked.why.strip() or "first record"
        if asked.action == "record":
            change = store.record(files, who=_who(), when=_now(), why=why)
        else:
            change = store.accept(files, who=_who(), when=_now(), why=why, gone=gone)
    except ValueError as error:
        kept = sorted(folder.glob(f"*/{TIMES}"))
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        listed = " ".join(map(str, kept))
        raise ValueError(f"{error}; what was measured is kept: {listed}") from None
    shutil.rmtree(folder, ignore_errors=True)
    for case in change.cases:
        print(f"{seconds(case['old']):>9} -> {seconds(case['new']):>9}  {case['case']} [{case['kernel']}]")
    print(f"{store.folder}: {len(change.files)} runs, {len(change.cases)} benchmarks, by {change.who}: {change.why}")
    return 0


def _measured(asked: argparse.Namespace, store: Store, rest: Sequence[str], folder: Path) -> list[Path]:
    """Files of runs on a quiet machine, each of a process of its own. Raises ValueError where they do not come."""
    tests = any(Path(word.partition("::")[0]).exists() or word == "--pyargs" for word in rest)
    arguments = [*rest, *([] if tests else SUITE), f"--attn-device={asked.device}"]
    arguments += [f"--attn-kernel={kernel}" for kernel in asked.kernel or _kernels(store)]
    quiet: list[StoredRun] = []
    why = ""
    for number in range(1, MORE * asked.runs + 1):
        fresh = measure_afresh(arguments, folder / f"{number:02}", Path.cwd())
        if fresh.status != 0 or fresh.file is None:
            tail = "\n".join(fresh.printed.strip().splitlines()[-15:])
            raise ValueError(f"run {number}: pytest ended with {fresh.status}:\n{tail}")
        run = read_run(fresh.file)
        if partial := why_partial(run):
            raise ValueError(partial)
        noise = why_noisy_machine(run, Rule())
        print(f"run {number}: {noise or 'measured'}", flush=True)
        if not noise:
            quiet.append(run)
        if len(quiet) >= asked.runs:
            why = why_not_baseline(quiet, Rule())
            if not why:
                return [Path(run.source) for run in quiet]
    raise ValueError(why or f"{len(quiet)} of {MORE * asked.runs} runs met a quiet machine, {asked.runs} must")


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
            f"{expected.runs} runs in {expected.sessions} session{'s' * (expected.sessions != 1)}  {id}"
        )
    return 0


def _machine(device: str) -> str:
    from pytest_attn.options.options import read_options

    return key_of(read_options({"device": [device]}).device[0])


def _who() -> str:
    named = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    return named.stdout.strip() or getpass.getuser()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
