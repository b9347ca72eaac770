"""The time box of a diagnosis: how many seconds it may spend, and how many runs still fit into them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 5.0
"""A diagnosis ends after this many seconds, with or without a name for the bug."""


class TimeBox:
    """The time limit of a diagnosis, which starts when it is made, and how long one run of the kernel takes."""

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self._seconds = seconds
        self._run = 0.0

    @property
    def left(self) -> float:
        """Seconds until the limit; negative once it has passed."""
        return self._seconds - self.spent

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @contextmanager
    def run(self) -> Iterator[None]:
        """A context around one run of the kernel, which times it; the longest counts."""
        start = self._clock()
        try:
            yield
        finally:
            self._run = max(self._run, self._clock() - start)

    def has_room_for(self, runs: int) -> bool:
        """Whether that many runs, each as long as the longest so far, take at most half of the time left."""
        return self.left > 0 and runs * self._run <= self.left / 2
