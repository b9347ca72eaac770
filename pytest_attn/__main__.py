"""`python -m pytest_attn`: the doors that are not a pytest command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from pytest_attn.commands.baseline import add_baseline
from pytest_attn.commands.check import add_check
from pytest_attn.commands.history import add_history
from pytest_attn.commands.listing import add_list
from pytest_attn.commands.mutants import add_mutants
from pytest_attn.commands.plot import add_plot
from pytest_attn.commands.power import add_power
from pytest_attn.commands.reach import add_reach
from pytest_attn.commands.summary import add_summary

COMMANDS = (add_check, add_list, add_power, add_reach, add_mutants, add_baseline, add_history, add_summary, add_plot)


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pytest_attn", description="Judge attention kernels.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    asked, rest = parser.parse_known_args(arguments)
    if rest and not getattr(asked, "passes_rest", False):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    status: int = asked.run(asked, rest)
    return status


def command() -> None:
    """Entry of `python -m pytest_attn`."""
    if isinstance(sys.stdout, TextIOWrapper):
        # What a kernel said of its failure may hold characters that a terminal, or UTF-8 itself, has not.
        sys.stdout.reconfigure(errors="replace")
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    command()
