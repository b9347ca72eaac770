"""What is compared over time."""

from __future__ import annotations

from typing import NamedTuple


class BenchmarkId(NamedTuple):
    """What is compared over time: a case under a kernel."""

    case: str
    kernel: str

    def __str__(self) -> str:
        return f"{self.case} [{self.kernel}]"
