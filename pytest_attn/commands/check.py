"""`python -m pytest_attn check`: the packaged suite on a kernel."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence


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
    """Judge; returns pytest's exit status."""
    # A test file or module among the arguments replaces the whole suite.
    named = any(argument.startswith("pytest_attn.suite") for argument in rest)
    suite = [] if named else ["pytest_attn.suite"]
    # A process of its own: pytest rewrites the assertions of plugins that are not imported yet.
    command = [sys.executable, "-m", "pytest", "--pyargs", *suite, f"--attn-kernel={asked.kernel}", *rest]
    return subprocess.run(command, check=False).returncode
