"""`python -m pytest_attn plot`: the picture of a published table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_attn.commands.command import USAGE
from pytest_attn.published.bsa_table import Row, rows_of
from pytest_attn.published.speedup_plot import TITLE, draw_speedups
from pytest_attn.published.speedups import curves, grid

STANDARD_INPUT = "-"


def add_plot(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "plot",
        help="speedup against sparsity, of a table of the block-sparse benchmark",
        description="Draw how much faster than the dense reference a block-sparse kernel is at each sparsity, one "
        "curve to a shape, from tables of the published form. What is read and left out is said on standard error.",
    )
    parser.add_argument("table", nargs="*", default=[STANDARD_INPUT], metavar="FILE", help="- or none: standard input")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmark.png"), metavar="PATH", help="picture")
    parser.add_argument("--title", default=TITLE)
    parser.add_argument("--dpi", type=_dots, default=120, help="dots to an inch (default: 120)")
    parser.add_argument("--grid", action="store_true", help="print the grid of speedups as Markdown, too")
    parser.set_defaults(run=run_plot)


def run_plot(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    """Draw; returns the exit status."""
    try:
        rows = [row for source in asked.table for row in _rows(source)]
        found, without = curves(rows)
        for shape in without:
            blocks = f"block_shape=({shape.block_shape[0]},{shape.block_shape[1]})"
            print(
                f"plot: {shape.problem} {blocks} is left out: no time of its reference, of sparsity 0", file=sys.stderr
            )
        if not found:
            raise ValueError(f"none of {len(rows)} rows is of a shape whose reference and kernel were both timed")
        draw_speedups(found, asked.output, title=asked.title, dpi=asked.dpi)
    except ValueError as error:
        print(f"plot: {error}", file=sys.stderr)
        return USAGE
    if asked.grid:
        print(grid(found), end="")
    print(f"plot: wrote {asked.output} ({len(found)} curves of {len(rows)} rows)", file=sys.stderr)
    return 0


def _rows(source: str) -> list[Row]:
    if source == STANDARD_INPUT:
        return rows_of(sys.stdin, "standard input")
    try:
        lines = Path(source).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ValueError(f"{source}: {error.strerror}") from error
    return rows_of(lines, source)


def _dots(word: str) -> int:
    if not word.isdigit() or not 10 <= int(word) <= 2400:
        raise argparse.ArgumentTypeError(f"{word!r}; allowed: 10 to 2400")
    return int(word)
