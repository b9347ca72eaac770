"""`python -m pytest_attn list`: the cells of the sweeps."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_attn.commands.command import USAGE
from pytest_attn.problem.sweep import find_sweep, sweep_names
from pytest_attn.report.table import sweep_table


def add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("list", help="the cells of the sweeps, by axis, with their cost")
    parser.add_argument("--sweep", action="append", metavar="NAME", help="this sweep only; repeatable")
    parser.add_argument("--ids", action="store_true", help="print the id of every case instead")
    parser.set_defaults(run=run_list)


def run_list(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print; returns the exit status."""
    try:
        sweeps = [find_sweep(name) for name in asked.sweep or sweep_names()]
    except ValueError as error:
        print(f"--sweep: {error}", file=sys.stderr)
        return USAGE
    for sweep in sweeps:
        print("\n".join(case.id for case in sweep) if asked.ids else sweep_table(sweep))
    return 0
