"""Fresh processes: pytest started again, to measure what one process alone cannot tell from its own memory layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pytest_attn.execution.isolation.child import Child, ChildError

LOST = 3
"""The status where the process ended before pytest did; pytest's own for an error that is its own."""


class FreshRun(NamedTuple):
    """What one process left."""

    status: int
    """Exit status of pytest."""

    printed: str
    """The end of its output, both streams, and why it was lost where it was."""

    file: Path | None
    """The JSON that pytest-benchmark wrote; None where it wrote none."""


def measure_afresh(arguments: Sequence[str], file: Path, directory: Path) -> FreshRun:
    """Run pytest in a process of its own, in `directory`, and have pytest-benchmark write its times to `file`.

    The gate is off in that process.
    """
    asked = ["-q", "--attn-gate=off", f"--benchmark-json={file}", *arguments]
    with Child(directory=directory, captured=True) as child:
        try:
            # By pytest's own name: pytest rewrites the assertions only of what is not imported before it runs.
            status = child.ask("pytest:main", {"args": asked})
        except ChildError as lost:
            return FreshRun(LOST, f"{child.printed}\n{lost}", None)
        return FreshRun(status, child.printed, file if file.is_file() and file.stat().st_size else None)
