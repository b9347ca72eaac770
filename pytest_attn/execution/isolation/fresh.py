"""Fresh processes: pytest started again, to measure what one process alone cannot tell from its own memory layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pytest_attn.devices.allocator import warmed
from pytest_attn.execution.isolation.child import Child, ChildError
from pytest_attn.records.benchmark_id import BenchmarkId

LOST = 3
"""The status where the process ended before pytest did; pytest's own for an error that is its own."""

REPETITIONS = 8
"""A process measures every benchmark so many times, a few rounds each: the speed of a shared machine changes within
seconds, and not alike for a kernel and its control. Rounds of one repetition share most of their error, so that a few
of each of many tell more than many of a few."""

SETTINGS = "PYTEST_ATTN_REPETITIONS"
"""The environment variable that tells `pytest_attn.plugin.repetitions` what to do."""

TIMES = "times.json"
"""The name of the file that pytest-benchmark writes."""

NOTHING_STORED = "pytest_benchmark.logger.PytestBenchmarkWarning"


class FreshRun(NamedTuple):
    """What one process left."""

    status: int
    """Exit status of pytest."""

    printed: str
    """The end of its output, both streams, and why it was lost where it was."""

    file: Path | None
    """The JSON that pytest-benchmark wrote; None where it wrote none."""


def measure_afresh(
    arguments: Sequence[str],
    folder: Path,
    directory: Path,
    *,
    wanted: Sequence[BenchmarkId] | None = None,
    memory: bool = True,
    repetitions: int = REPETITIONS,
) -> FreshRun:
    """Run the tests that time a cell in a process of its own, in `directory`, under the command line `arguments`.

    It leaves its run document and pytest-benchmark's JSON in `folder`. `wanted` None is every benchmark; `memory` asks
    for their peak memory, too. The gate is off in that process, and its allocator keeps what is freed.
    """
    file = folder / TIMES
    # The last word of an option counts.
    asked = ["-p", "pytest_attn.plugin.repetitions", "-p", "no:lfplugin", "-p", "no:nfplugin", *arguments]
    asked += ["-q", "--attn-gate=off", f"--attn-output={folder}", f"--benchmark-json={file}"]
    # It makes its folder, and warns where every test failed, whether anything is to be stored or not.
    asked += [f"--benchmark-storage=file://{folder}", "-W", f"ignore::{NOTHING_STORED}"]
    settings = {
        "wanted": None if wanted is None else [[*id] for id in wanted],
        "memory": memory,
        "repetitions": repetitions,
    }
    with Child(environment={SETTINGS: json.dumps(settings), **warmed()}, directory=directory, captured=True) as child:
        try:
            # By pytest's own name: pytest rewrites the assertions only of what is not imported before it runs.
            status = child.ask("pytest:main", {"args": asked})
        except ChildError as lost:
            return FreshRun(LOST, f"{child.printed}\n{lost}", None)
        return FreshRun(status, child.printed, file if file.is_file() and file.stat().st_size else None)
