"""Samples: what the clock said, round by round, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Seconds per call of a kernel, of the control timed next to it, and of two controls timed next to each other.

    Element r of every tuple belongs to round r. Times are those of a block divided by the calls in it.
    """

    kernel: tuple[float, ...]
    control: tuple[float, ...]
    """The control of the pair kernel / control."""

    kernel_first: tuple[bool, ...]
    """Whether the kernel ran before its control; half of the rounds, in random order."""

    control_again: tuple[tuple[float, float], ...]
    """The A/A pairs: the control and another instance of it, which would be equal on a quiet machine."""

    control_first: tuple[bool, ...]
    """Whether the first of the A/A pair ran first; half of the rounds, in random order."""

    kernel_calls: int
    """Calls of the kernel in one block."""

    control_calls: int
    """Calls of the control in one block."""

    discarded: int = 0
    """Rounds that were thrown away and measured again, as the device was throttled in them."""

    @property
    def rounds(self) -> int:
        """Pairs of each kind."""
        return len(self.kernel)

    @property
    def unusable(self) -> str:
        """Why no statistics of the kernel's times exist; empty where they do."""
        wrong = [seconds for seconds in self.kernel if not math.isfinite(seconds)]
        if wrong and self.discarded:
            return f"the device was throttled in {self.discarded} rounds, too often to time {len(wrong)} others"
        return f"{len(wrong)} times of the kernel are no times, as {wrong[0]:g} s" if wrong else ""

    def followed_by(self, later: Samples) -> Samples:
        """These rounds and then those of a later repetition."""
        joined = {
            name: value + getattr(later, name) if isinstance(value := getattr(self, name), tuple) else value
            for name in Samples.__slots__
        }
        return replace(Samples(**joined), discarded=self.discarded + later.discarded)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return plain | {"control_again": [list(pair) for pair in self.control_again]}

    def refuse_uneven(self) -> None:
        """Raises ValueError where one series has more rounds than another."""
        lengths = {name: len(value) for name in Samples.__slots__ if isinstance(value := getattr(self, name), tuple)}
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{count} of {name}" for name, count in lengths.items())
            raise ValueError(f"samples: {counted}; allowed: as many of each")
