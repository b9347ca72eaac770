"""The histories of benchmarks as text."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from itertools import pairwise

from pytest_attn.gate.history import ChangePoint, History

LEVELS = "▁▂▃▄▅▆▇█"
WIDTH = 32
"""Characters of a sparkline; where there are more runs, each stands for the median of neighbours."""

COMMIT = re.compile(r"\b([0-9a-f]{9})[0-9a-f]{31}\b")


def history_table(histories: Sequence[History], floor: float) -> str:
    """A line for each benchmark, worst first, and below it a line for each lasting change of its level.

    `floor` is the fraction that a sparkline's full height stands for at least, so that noise does not fill it.
    """
    lines = [f"{'runs':>4}  {'now / first':>11}  {'from golden':>11}  {'':{WIDTH}}"]
    for history in sorted(histories, key=lambda each: (-worst(each), each.id)):
        golden = "-" if history.from_golden is None else f"{history.from_golden:+.1%}"
        now = f"x {1 + history.drift:.3f}"
        line = sparkline(history.ratios, floor)
        lines.append(f"{len(history.runs):4}  {now:>11}  {golden:>11}  {line:{WIDTH}}  {history.id}")
        lines += map(_change, history.changes)
    return "\n".join([lines[0].rstrip(), *lines[1:]]) + "\n"


def worst(history: History) -> float:
    """The larger of the two drifts, a fraction."""
    return max(history.drift, history.from_golden if history.from_golden is not None else history.drift)


def sparkline(ratios: Sequence[float], floor: float) -> str:
    """At most `WIDTH` blocks from the lowest ratio to the highest."""
    count = min(len(ratios), WIDTH)
    edges = [round(index * len(ratios) / count) for index in range(count + 1)] if count else [0]
    values = [statistics.median(ratios[start:end]) for start, end in pairwise(edges)]
    low = min(values, default=1.0)
    height = max(max(values, default=1.0) - low, floor)
    return "".join(LEVELS[min(int((value - low) / height * len(LEVELS)), len(LEVELS) - 1)] for value in values)


def _change(change: ChangePoint) -> str:
    before, after = (COMMIT.sub(r"\1", name) for name in (change.before, change.after))
    return f"{'':6}x {change.ratio:.3f} between {before} and {after}"
