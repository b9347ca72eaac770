"""Streaks: in how many runs in a row a benchmark was inconclusive.

A run that cannot tell does not fail at once, so something must remember it: a file beside the baselines, of this
machine and its working copy alone. It is made when a baseline is recorded or by a first run, and git ignores it. Where
it is not there, as in a fresh checkout, nobody knows how many runs came before, and what is inconclusive fails at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_attn.gate.files import write_whole
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision

FILE = "inconclusive.jsonl"
IGNORED = ".gitignore"
RECORDING = "recording"

DECIDED = frozenset({"same", "faster", "slower", "new"})
"""Words that end a streak. What is gone, foreign or suspicious was not measured as the runs before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaks:
    """What is known of the runs before this one."""

    runs: Mapping[BenchmarkId, int] = field(default_factory=dict)
    """Inconclusive runs in a row until now, of benchmarks that have any."""

    unknown: str = ""
    """Why nothing is known of them; empty where it is."""

    def after(self, decisions: Iterable[Decision]) -> Streaks:
        """What a later run has to know of this one as well."""
        runs = dict(self.runs)
        for decision in decisions:
            if decision.word == "inconclusive":
                runs[decision.id] = runs.get(decision.id, 0) + 1
            elif decision.word in DECIDED:
                runs.pop(decision.id, None)
        return Streaks(runs=runs)

    def tolerate(self, decisions: Iterable[Decision], limit: int) -> tuple[Decision, ...]:
        """The decisions, of which those that are inconclusive are tolerated while the streak of each, this run
        included, is shorter than `limit`; each says so."""
        return tuple(self._tolerated(each, limit) if each.word == "inconclusive" else each for each in decisions)

    def _tolerated(self, decision: Decision, limit: int) -> Decision:
        run = self.runs.get(decision.id, 0) + 1
        if limit > 1 and self.unknown:
            told = f"not tolerated: {self.unknown}"
        else:
            told = f"run {run} of {limit} in a row" if run < limit else f"in {run} runs in a row"
        reason = "; ".join(filter(None, [decision.reason, told]))
        return replace(decision, reason=reason, tolerated=run < limit and not self.unknown)


def read_streaks(folder: Path) -> Streaks:
    """The streaks that the folder of a machine's baselines holds; unknown, with a sentence, where it holds none."""
    path = folder / FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return Streaks(runs=dict(_entry(json.loads(line)) for line in lines))
    except FileNotFoundError:
        return Streaks(unknown=f"earlier runs are not known, as {path} is not there")
    except (OSError, ValueError, TypeError, KeyError):
        return Streaks(unknown=f"earlier runs are not known, as {path} cannot be read")


def keep_streaks(folder: Path, streaks: Streaks) -> None:
    """Write them for later runs, where git ignores them. Raises ValueError, one sentence, where that cannot be done."""
    lines = [{"case": id.case, "kernel": id.kernel, "runs": runs} for id, runs in sorted(streaks.runs.items())]
    write_whole(folder / FILE, "".join(f"{json.dumps(line)}\n" for line in lines).encode(), replace=True)
    ignore(folder)


def ignore(folder: Path) -> None:
    """Have git ignore what belongs to this working copy alone. Raises ValueError where that cannot be written."""
    if not (folder / IGNORED).exists():
        write_whole(folder / IGNORED, f"{FILE}\n{RECORDING}/\n{IGNORED}\n".encode())


def _entry(plain: Any) -> tuple[BenchmarkId, int]:
    runs = plain["runs"]
    if not isinstance(runs, int) or isinstance(runs, bool) or runs < 1:
        raise ValueError(f"runs is {runs!r}")
    if not all(isinstance(plain[name], str) for name in ("case", "kernel")):
        raise ValueError("a benchmark without its names")
    return BenchmarkId(plain["case"], plain["kernel"]), runs
