"""A sweep as text: its groups with their cost, and the values on each axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_attn.problem.axes import AXES
from pytest_attn.problem.case import Case
from pytest_attn.problem.pairs import estimated_flops
from pytest_attn.problem.sweep import Sweep

MOST_VALUES = 12
"""Values of an axis that are listed before the rest is counted."""


def sweep_table(sweep: Sweep) -> str:
    """Groups with cells, unsatisfiable cells and about how many TFLOP, then each axis that varies."""
    lines = [f"{sweep.name}: {sweep.title}", f"  {'test':34}{'cells':>7}{'unsatisfiable':>15}{'about TFLOP':>13}"]
    lines += [_row(f"test_{name}", cases) for name, cases in sweep.groups.items()]
    lines += [_row("total", tuple(sweep)), "  axis"]
    for axis, read in AXES.items():
        count = Counter(read(case) for case in sweep)
        if len(count) > 1:
            lines.append(f"    {axis:12}{_values(count)}")
    return "\n".join(lines) + "\n"


def sketched_table(name: str, title: str, groups: Sequence[str]) -> str:
    """The groups of a sweep whose cells are drawn for each kernel, and how to have those of a kernel that claims
    everything drawn and counted."""
    lines = [f"{name}: {title}", *(f"  test_{group}" for group in groups)]
    return "\n".join([*lines, f"  drawn for what a kernel claims; at most: list --sweep {name}"]) + "\n"


def _row(name: str, cases: Sequence[Case]) -> str:
    return f"  {name:34}{len(cases):7}{sum(bool(case.unsatisfiable) for case in cases):15}{_tflop(cases):13.2f}"


def _tflop(cases: Iterable[Case]) -> float:
    return sum(estimated_flops(case) for case in cases) / 1e12


def _values(count: Counter[str]) -> str:
    shown = [f"{value} ({cells})" for value, cells in list(count.items())[:MOST_VALUES]]
    more = len(count) - MOST_VALUES
    return "  ".join(shown) + (f"  and {more} more" if more > 0 else "")
