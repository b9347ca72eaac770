"""Fresh processes: pytest started again, to measure what one process alone cannot tell from its own memory layout."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class FreshRun(NamedTuple):
    """What one process left."""

    status: int
    """Exit status of pytest."""

    printed: str
    """Its output, both streams."""

    file: Path | None
    """The JSON that pytest-benchmark wrote; None where it wrote none."""


def measure_afresh(arguments: Sequence[str], file: Path, directory: Path) -> FreshRun:
    """Run pytest in a process of its own, in `directory`, and have pytest-benchmark write its times to `file`.

    `arguments` go through a file, as the tests to run may be many. The gate is off in that process.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".arguments", encoding="utf-8") as listed:
        listed.write("\n".join(arguments))
        listed.flush()
        command = [sys.executable, "-m", "pytest", "-q", "--attn-gate=off", f"--benchmark-json={file}"]
        done = subprocess.run([*command, f"@{listed.name}"], cwd=directory, capture_output=True, text=True, check=False)
    return FreshRun(
        done.returncode, done.stdout + done.stderr, file if file.is_file() and file.stat().st_size else None
    )
