"""`python -m pytest_attn power`: the least defect that a verdict on a case sees."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from pytest_attn.commands.command import USAGE
from pytest_attn.options.defaults import CPU_BUDGET
from pytest_attn.options.options import READ
from pytest_attn.problem.case import Case
from pytest_attn.report.power_table import power_table


def add_power(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "power",
        help="the least defect that a verdict on a case sees",
        description="Measure what a verdict on a case sees: the least amount of each defect, injected into a correct "
        "result, under the derived budget and under each flat tolerance.",
    )
    parser.add_argument("case", metavar="CASE", help="id of a case, as list --ids prints them")
    parser.add_argument("--seed", default="42", help="seed of query, key and value (default: 42)")
    parser.add_argument(
        "--budget",
        default=f"{CPU_BUDGET:g}",
        metavar="GFLOP",
        help=f"refuse a case that costs more, or none (default: {CPU_BUDGET:g})",
    )
    parser.set_defaults(run=run_power)


def run_power(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Measure and print; returns the exit status."""
    # torch takes a second to import, which the other commands need not wait for.
    from pytest_attn.selfcheck.power.power import power_of

    try:
        found = power_of(Case.parse(asked.case), _read("seed", asked.seed), _read("budget", asked.budget))
        print(power_table(found), end="")
    except ValueError as error:
        print(f"power: {error}", file=sys.stderr)
        return USAGE
    return 0


def _read(name: str, text: str) -> Any:
    """The value of an option that the command shares with pytest's command line."""
    try:
        return READ[name]([text])
    except ValueError as error:
        raise ValueError(f"--{name}: {error}") from None
