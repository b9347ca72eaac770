"""`python -m pytest_attn mutants`: which kernels with a planted bug the sweeps tell from a correct one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_attn.commands.command import USAGE
from pytest_attn.problem.turns import Misses
from pytest_attn.report.kill_table import kill_report, kill_summary
from pytest_attn.report.kills import KillMatrix

WALKED = 600
"""Cases of the walk that shows which survivors a claim could have shown."""

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
        "--claims-of",
        metavar="KERNEL",
        help="only cells that are drawn for what this kernel claims; a mutant that they leave alive counts where other "
        "cases that it claims, found by a walk, show its bug",
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
        groups_of(asked.sweep or ())
    except ValueError as error:
        print(f"{'--mutant' if chosen is None else '--sweep'}: {error}", file=sys.stderr)
        return USAGE
    try:
        misses = _unclaimed(asked.claims_of) if asked.claims_of else None
    except ValueError as error:
        print(f"--claims-of: {error}", file=sys.stderr)
        return USAGE
    groups = groups_of(asked.sweep or DEFAULT_SWEEPS, misses)
    matrix = diagnosed(kill_matrix(chosen, groups), chosen) if asked.report else first_kills(chosen, groups)
    print(kill_report(matrix) if asked.report else kill_summary(matrix), end="")
    reached = any(fate.reached for fate in matrix.fates)
    if misses is None:
        return 1 if matrix.unexpected or not reached else 0
    missed = _shown_elsewhere(matrix, misses)
    killed = sum(bool(fate.kills) for fate in matrix.real)
    print(f"what {asked.claims_of} claims shows {killed + len(missed)} of them; killed {killed}, missed: ", end="")
    print(", ".join(missed) or "none")
    return 1 if missed or not reached else 0


def _unclaimed(spec: str) -> Misses:
    """What a kernel does not claim. Raises ValueError where there is no such kernel."""
    from pytest_attn.execution.session import Session
    from pytest_attn.execution.unclaimed import Unclaimed
    from pytest_attn.options.options import Options

    return Unclaimed(Session(Options()).kernel(spec).capabilities)


def _shown_elsewhere(matrix: KillMatrix, misses: Misses) -> list[str]:
    """The survivors that some other case within the claims kills."""
    from pytest_attn.selfcheck.mutants.catalog import find_mutants
    from pytest_attn.selfcheck.mutants.matrix import first_kills
    from pytest_attn.selfcheck.reach.allowed import allowed_cases

    survivors = [fate.mutant for fate in (*matrix.unexpected, *matrix.unreached) if not fate.equivalent]
    if not survivors:
        return []
    walked = first_kills(find_mutants(survivors), {"walk": [*dict.fromkeys(allowed_cases(misses, WALKED))]})
    return [fate.mutant for fate in walked.fates if fate.kills]
