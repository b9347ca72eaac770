"""`python -m pytest_attn`: the doors that are not a pytest command line."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from pytest_attn.options import CPU_BUDGET, OPTIONS
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep, sweep_names
from pytest_attn.report.kill_table import kill_report, kill_summary
from pytest_attn.report.power_table import power_table
from pytest_attn.report.table import sweep_table


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pytest_attn", description="Judge attention kernels.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="judge a kernel: pytest --pyargs pytest_attn.suite --attn-kernel=KERNEL",
        description="Judge a kernel on the packaged suite. Further arguments go to pytest.",
    )
    check.add_argument("kernel", metavar="KERNEL", help="built-in name, module:attribute or path/to/file.py:attribute")
    listing = commands.add_parser("list", help="the cells of the sweeps, by axis, with their cost")
    listing.add_argument("--sweep", action="append", metavar="NAME", help="this sweep only; repeatable")
    listing.add_argument("--ids", action="store_true", help="print the id of every case instead")
    power = commands.add_parser(
        "power",
        help="the least defect that a verdict on a case sees",
        description="Measure what a verdict on a case sees: the least amount of each defect, injected into a correct "
        "result, under the derived budget and under each flat tolerance.",
    )
    power.add_argument("case", metavar="CASE", help="id of a case, as list --ids prints them")
    power.add_argument("--seed", default="42", help="seed of query, key and value (default: 42)")
    power.add_argument(
        "--budget",
        default=f"{CPU_BUDGET:g}",
        metavar="GFLOP",
        help=f"refuse a case that costs more, or none (default: {CPU_BUDGET:g})",
    )
    planted = commands.add_parser(
        "mutants",
        help="which kernels with a planted bug the sweeps tell from a correct one",
        description="Run kernels with one planted bug each and say which survive; 1 is returned where one does.",
    )
    planted.add_argument("--mutant", action="append", metavar="NAME", help="this mutant only; repeatable")
    planted.add_argument(
        "--sweep",
        action="append",
        metavar="NAME",
        help="cells of this sweep; repeatable (default: smoke, boundary and backward)",
    )
    planted.add_argument(
        "--report",
        action="store_true",
        help="which test kills which mutant, what the diagnosis names it, and what flat tolerances see",
    )
    known, rest = parser.parse_known_args(arguments)
    if known.command == "check":
        return _check(known.kernel, rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if known.command == "power":
        return _power(known.case, known.seed, known.budget)
    if known.command == "mutants":
        return _mutants(known.mutant or (), known.sweep or ("smoke", "boundary", "backward"), known.report)
    return _list(known.sweep or sweep_names(), known.ids)


def _check(kernel: str, rest: Sequence[str]) -> int:
    # A test file or module among the arguments replaces the whole suite.
    named = any(argument.startswith("pytest_attn.suite") for argument in rest)
    suite = [] if named else ["pytest_attn.suite"]
    # A process of its own: pytest rewrites the assertions of plugins that are not imported yet.
    command = [sys.executable, "-m", "pytest", "--pyargs", *suite, f"--attn-kernel={kernel}", *rest]
    return subprocess.run(command, check=False).returncode


def _list(names: Sequence[str], ids: bool) -> int:
    try:
        sweeps = [find_sweep(name) for name in names]
    except ValueError as error:
        print(f"--sweep: {error}", file=sys.stderr)
        return 4
    for sweep in sweeps:
        print("\n".join(case.id for case in sweep) if ids else sweep_table(sweep))
    return 0


def _mutants(names: Sequence[str], sweeps: Sequence[str], report: bool) -> int:
    # torch takes a second to import, which the other commands need not wait for.
    from pytest_attn.mutants.catalog import find_mutants, mutants
    from pytest_attn.mutants.diagnoses import diagnosed
    from pytest_attn.mutants.matrix import first_kills, groups_of, kill_matrix

    chosen = None
    try:
        chosen = find_mutants(names) if names else mutants()
        groups = groups_of(sweeps)
    except ValueError as error:
        print(f"{'--mutant' if chosen is None else '--sweep'}: {error}", file=sys.stderr)
        return 4
    matrix = diagnosed(kill_matrix(chosen, groups), chosen) if report else first_kills(chosen, groups)
    print(kill_report(matrix) if report else kill_summary(matrix), end="")
    return 1 if matrix.unexpected else 0


def _read(name: str, text: str) -> Any:
    """The value of an option that `power` shares with pytest's command line."""
    read = {option.name: option.read for option in OPTIONS}[name]
    try:
        return read([text])
    except ValueError as error:
        raise ValueError(f"--{name}: {error}") from None


def _power(case: str, seed: str, budget: str) -> int:
    # torch takes a second to import, which the other commands need not wait for.
    from pytest_attn.power.power import power_of

    try:
        print(power_table(power_of(Case.parse(case), _read("seed", seed), _read("budget", budget))), end="")
    except ValueError as error:
        print(f"power: {error}", file=sys.stderr)
        return 4
    return 0


def command() -> None:
    """Entry of `python -m pytest_attn`."""
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    command()
