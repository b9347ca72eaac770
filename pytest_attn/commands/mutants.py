"""`python -m pytest_attn mutants`: which kernels with a planted bug the sweeps tell from a correct one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_attn.commands.command import USAGE
from pytest_attn.report.kill_table import kill_report, kill_summary

DEFAULT_SWEEPS = ("smoke", "boundary", "backward", "core", "decode")


def add_mutants(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "mutants",
        help="which kernels with a planted bug the sweeps tell from a correct one",
        description="Run kernels with one planted bug each and say which survive; 1 is returned where one does, or "
        "where no cell runs any of them.",
    )
    parser.add_argument("--mutant", action="append", metavar="NAME", help="this mutant only; repeatable")
    parser.add_argument(
        "--sweep",
        action="append",
        metavar="NAME",
        help=f"cells of this sweep; repeatable (default: {', '.join(DEFAULT_SWEEPS)})",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="which test kills which mutant, what the diagnosis names it, and what flat tolerances see",
    )
    parser.set_defaults(run=run_mutants)


def run_mutants(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run and print; returns the exit status."""
    # torch takes a second to import, which the other commands need not wait for.
    from pytest_attn.selfcheck.mutants.catalog import find_mutants, mutants
    from pytest_attn.selfcheck.mutants.diagnoses import diagnosed
    from pytest_attn.selfcheck.mutants.matrix import first_kills, groups_of, kill_matrix

    chosen = None
    try:
        chosen = find_mutants(asked.mutant) if asked.mutant else mutants()
        groups = groups_of(asked.sweep or DEFAULT_SWEEPS)
    except ValueError as error:
        print(f"{'--mutant' if chosen is None else '--sweep'}: {error}", file=sys.stderr)
        return USAGE
    matrix = diagnosed(kill_matrix(chosen, groups), chosen) if asked.report else first_kills(chosen, groups)
    print(kill_report(matrix) if asked.report else kill_summary(matrix), end="")
    return 1 if matrix.unexpected or not any(fate.reached for fate in matrix.fates) else 0
