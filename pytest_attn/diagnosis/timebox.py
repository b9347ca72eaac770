"""The time box of a diagnosis: how many seconds it may spend, and how many runs still fit into them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 5.0
"""A diagnosis ends after this many seconds, with or without a name for the bug."""


class TimeBox:
    """So many seconds from now, and what one run of the kernel has cost of them."""

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self._seconds = seconds
        self._run = 0.0

    @property
    def left(self) -> float:
        """Seconds left; negative where the box is over."""
        return self._seconds - self.spent

    @property
    def spent(self) -> float:
        """Seconds since the box was opened."""
        return self._clock() - self._start

    @contextmanager
    def run(self) -> Iterator[None]:
        """Time one run of the kernel, for `has_room_for`."""
        start = self._clock()
        try:
            yield
        finally:
            self._run = max(self._run, self._clock() - start)

    def has_room_for(self, runs: int) -> bool:
        """Whether so many runs, each as long as the longest so far, leave half of what is left."""
        return self.left > 0 and runs * self._run <= self.left / 2
