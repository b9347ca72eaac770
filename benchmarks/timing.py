"""How the benchmark scripts here take time."""

from __future__ import annotations

import time
from collections.abc import Callable

WARM_UP = 6.0
"""Seconds; virtual machines reach their full rate some seconds after they were idle."""


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def warm_up(work: Callable[[], object]) -> None:
    """Keep the machine busy until it runs at its full rate."""
    until = time.perf_counter() + WARM_UP
    while time.perf_counter() < until:
        work()
