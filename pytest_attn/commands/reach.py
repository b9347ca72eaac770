"""`python -m pytest_attn reach`: how far the sweeps reach within what a kernel claims."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_attn.commands.command import USAGE


def add_reach(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "reach",
        help="how far the sweeps reach within what a kernel claims",
        description="Count the cells that are drawn for what a kernel claims, and of all pairs and triples of values "
        "that it allows (dtype, head_dim, mask, lengths, group, recipe, layout, what is asked for and compared) those "
        "that some cell has.",
    )
    parser.add_argument("kernel", metavar="KERNEL", nargs="+", help="a kernel, as --attn-kernel takes it")
    parser.set_defaults(run=run_reach)


def run_reach(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Measure and print; returns the exit status."""
    # torch takes a second to import, which the other commands need not wait for.
    from pytest_attn.execution.session import Session
    from pytest_attn.execution.unclaimed import Unclaimed
    from pytest_attn.options.options import Options
    from pytest_attn.selfcheck.reach.reach import SWEEPS, reach_of

    session = Session(Options())
    print(" ".join(f"{name:>9}" for name in (*SWEEPS, "pairs", "triples")), " kernel")
    for spec in asked.kernel:
        try:
            found = reach_of(Unclaimed(session.kernel(spec).capabilities))
        except ValueError as error:
            print(f"reach: {error}", file=sys.stderr)
            return USAGE
        if not any(found.cells.values()):
            print(
                f"reach: {spec} claims no cell of any sweep; allowed: claims that some problem meets", file=sys.stderr
            )
            return USAGE
        counts = " ".join(f"{found.cells[name]:9}" for name in SWEEPS)
        print(f"{counts} {found.pairs:9.1%} {found.triples:9.1%}  {spec}", flush=True)
    return 0
