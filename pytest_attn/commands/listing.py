"""`python -m pytest_attn list`: the cells of the sweeps."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_attn.commands.command import USAGE
from pytest_attn.problem.sweep import find_sweep, is_drawn, refuse_unknown_sweep, sketch, sweep_names
from pytest_attn.report.table import sketched_table, sweep_table


def add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("list", help="the sweeps, their cells by axis, and their cost")
    parser.add_argument("--sweep", action="append", metavar="NAME", help="this sweep only; repeatable")
    parser.add_argument("--ids", action="store_true", help="print the id of every case instead")
    parser.set_defaults(run=run_list)


def run_list(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print; returns the exit status."""
    named = asked.sweep or sweep_names()
    try:
        for name in named:
            refuse_unknown_sweep(name)
    except ValueError as error:
        print(f"--sweep: {error}", file=sys.stderr)
        return USAGE
    for name in named:
        if asked.ids:
            print("\n".join(case.id for case in find_sweep(name)))
        elif is_drawn(name) and not asked.sweep:
            print(sketched_table(name, *sketch(name)))
        else:
            print(sweep_table(find_sweep(name)))
    return 0
