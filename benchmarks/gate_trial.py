"""One trial of the strict gate on README's kernel: how long it takes, what it decides, what it could have seen.

    python benchmarks/gate_trial.py DIR [--runs 6] [--sessions 1] [--apart 60] [-- PYTEST ARGUMENTS]

In DIR a project of README's `my_flash` alone: a baseline of so many fresh processes is recorded, then the strict gate
runs on unchanged code. Without further arguments these are the float32 cells of the latency sweep that the kernel
claims. A second call finds the baseline and runs the gate again; nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from pytest_attn.gate.gate import gate_of
from pytest_attn.records.document import read_document

ROOT = Path(__file__).resolve().parent.parent
CELLS = ("--attn-axis=dtype=float32",)
SUITE = ("--pyargs", "pytest_attn.suite.test_latency")


def main() -> None:
    """Record, unless there is a baseline; then the gate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--apart", type=float, default=60.0)
    asked, rest = parser.parse_known_args()
    cells = [word for word in rest if word != "--"] or [*CELLS]
    asked.folder.mkdir(parents=True, exist_ok=True)
    write_kernel(asked.folder)
    if not [*asked.folder.glob("baselines/*/CHANGES.jsonl")]:
        words = ["record", "--kernel=my_flash.py:my_flash", f"--runs={asked.runs}"]
        words += [f"--sessions={asked.sessions}", f"--apart={asked.apart}"]
        status, taken = started(["-m", "pytest_attn", "baseline", *words, *cells], asked.folder)
        print(f"record: status {status}, {taken:.0f} s")
        if status:
            sys.exit(status)
    gate = ["-m", "pytest", *SUITE, "--attn-kernel=my_flash.py:my_flash", "--attn-gate=strict", "--attn-output=out"]
    status, taken = started([*gate, *cells, "-q"], asked.folder)
    print(f"strict gate: status {status}, {taken:.0f} s")
    found = gate_of(read_document(asked.folder / "out"))
    for decision in found.decisions if found else ():
        sees = f"{decision.smallest_detectable:.1%}" if decision.smallest_detectable is not None else "-"
        print(
            f"{decision.word:12} {1e3 * (decision.new or 0):7.2f} ms  sees {sees:>6}  {decision.id}; {decision.reason}"
        )
    print(found.claim if found else "nothing was compared")


def write_kernel(folder: Path) -> None:
    """README's kernel."""
    code = re.search(
        r'```python\n("""A flash kernel.*?)```', (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert code
    (folder / "my_flash.py").write_text(code[1])


def started(words: list[str], folder: Path) -> tuple[int, float]:
    """Exit status and seconds of a Python process."""
    start = time.perf_counter()
    ended = subprocess.run([sys.executable, *words], cwd=folder, check=False)
    return ended.returncode, time.perf_counter() - start


if __name__ == "__main__":
    main()
