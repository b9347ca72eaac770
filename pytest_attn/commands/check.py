"""`python -m pytest_attn check`: the packaged suite on a kernel."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from pytest_attn.commands.command import USAGE
from pytest_attn.execution.isolation.fresh import LOST
from pytest_attn.records.document import COPY, read_document

PROGRAM = """
import pathlib, signal, sys, time
last = [float("-inf")]
def interrupt(number, frame):
    last[0] = time.monotonic()
    raise KeyboardInterrupt
def passed_on(number, frame):
    if time.monotonic() > last[0] + 1:
        signal.getsignal(signal.SIGINT)(signal.SIGINT, frame)
signal.signal(signal.SIGINT, interrupt)
signal.signal(signal.SIGTERM, passed_on)
left, *arguments = sys.argv[1:]
sys.argv = ["pytest", *arguments]
try:
    import pytest
    status = int(pytest.main())
except KeyboardInterrupt:
    status = 2
pathlib.Path(left).write_text(str(status))
sys.exit(status)
"""
"""Runs pytest, and leaves its status in a file: a process that ends inside a kernel leaves none, whatever its own.

An interrupt that the command was sent alone is passed on as SIGTERM; a terminal sends one to both.
"""

BENCHMARKS = Path(".benchmarks")
"""Where pytest-benchmark writes unless told otherwise."""


def add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "check",
        help="judge a kernel: pytest --pyargs pytest_attn.suite --attn-kernel=KERNEL",
        description="Judge a kernel on the packaged suite. Further arguments go to pytest.",
    )
    parser.add_argument("kernel", metavar="KERNEL", help="built-in name, module:attribute or path/to/file.py:attribute")
    parser.set_defaults(run=run_check, passes_rest=True)


def run_check(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Judge; returns pytest's exit status, that of an error where its process ended before it did."""
    if find_spec("xdist") is None and any(_asks_for_workers(argument) for argument in rest):
        print("check: -n needs pytest-xdist; allowed: pip install 'pytest-attn[xdist]', or no -n", file=sys.stderr)
        return USAGE
    benchmarks_were_there = BENCHMARKS.exists()
    try:
        return _run(asked.kernel, rest)
    finally:
        if not benchmarks_were_there:
            # pytest-benchmark makes its folder whether it writes there or not; one with a file in it stays.
            with suppress(OSError):
                BENCHMARKS.rmdir()


def _asks_for_workers(argument: str) -> bool:
    return argument.startswith(("-n", "--numprocesses"))


def _run(kernel: str, rest: Sequence[str]) -> int:
    # A test file or module among the arguments replaces the whole suite.
    named = any(argument.startswith("pytest_attn.suite") for argument in rest)
    suite = [] if named else ["pytest_attn.suite"]
    with tempfile.TemporaryDirectory(prefix="pytest-attn-") as folder:
        left = Path(folder) / "status"
        # A process of its own: pytest rewrites the assertions of plugins that are not imported yet.
        command = [sys.executable, "-c", PROGRAM, str(left)]
        command += ["--pyargs", *suite, f"--attn-kernel={kernel}", *rest]
        ended = _ended(subprocess.Popen(command, env={**os.environ, COPY: folder}))
        if left.exists():
            return int(left.read_text())
        print(f"check: {_ending(ended)} before pytest did, {_after(Path(folder))}", file=sys.stderr)
        return LOST


def _ended(process: subprocess.Popen[bytes]) -> int:
    """The status of a process, waited for through interrupts: pytest then reports what it has."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()


def _ending(status: int) -> str:
    if status < 0:
        return f"the process was ended by signal {-status} ({signal.strsignal(-status)})"
    return f"the process ended with status {status}"


def _after(folder: Path) -> str:
    """The last cell that had a record, in words."""
    try:
        records = read_document(folder).records
    except ValueError:
        return "before it began to run tests"
    if not records:
        return "before a cell had a record"
    return f"after {records[-1].case} [{records[-1].kernel}], the last cell that had a record"
