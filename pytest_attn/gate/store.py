"""Where baselines lie: `baselines/<machine key>/<pytest-benchmark's machine id>/NNNN_name.json`, beside a ledger.

pytest-benchmark reads and compares these files as its own with `--benchmark-storage=file://baselines/<machine key>`.
The ledger alone says which of them are the baseline, so what its autosave leaves beside them never becomes one. Runs
that are neither in force nor golden any more are removed; the ledger keeps what they led to expect.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_attn.gate.baseline import Baseline, why_not_baseline
from pytest_attn.gate.changes import LEDGER, Change, Kind, golden_of, read_changes, sessions_before, text_of
from pytest_attn.gate.compact import compact_run
from pytest_attn.gate.expectation import sessions_of
from pytest_attn.gate.files import read_bytes, write_whole
from pytest_attn.gate.rule import Rule
from pytest_attn.gate.run_file import parse_run, read_run
from pytest_attn.gate.spread import Component
from pytest_attn.gate.stored_run import StoredRun
from pytest_attn.gate.streaks import Streaks, keep_streaks
from pytest_attn.records.benchmark_id import BenchmarkId

NUMBERED = re.compile(r"(\d{4})_.*\.json")
LOCK = ".lock"
NIGHTLY = "nightly"
"""Folder of runs that are kept for the history alone."""

Sessions = Mapping[Path, str] | None
"""The session of each file of a run; without, what the file itself says."""

LAST_NUMBER = 9999
"""pytest-benchmark finds files by four digits."""


@dataclass(frozen=True, slots=True)
class Store:
    """The baselines of one machine; `folder` is `baselines/<machine key>`, whose name runs must carry."""

    folder: Path

    @property
    def machine(self) -> str:
        """The machine key."""
        return self.folder.name

    def baseline(self, rule: Rule | None = None) -> Baseline | None:
        """The baseline in force; None where none was ever recorded.

        Raises ValueError, one sentence, where a file of it is gone, corrupt, changed, or of another machine.
        """
        changes = read_changes(self.folder)
        if not changes:
            return None
        in_force = changes[-1]
        before = [each for each in changes if each.kind != "pin" and each.files.keys() != in_force.files.keys()]
        return Baseline.of(self._runs(in_force), rule, sessions_before(before))

    def golden(self, rule: Rule | None = None) -> Baseline | None:
        """The pinned baseline that slow drift is measured against: the first recorded, or the last pinned."""
        pinned = golden_of(read_changes(self.folder))
        return Baseline.of(self._runs(pinned), rule) if pinned else None

    def stored(self) -> tuple[StoredRun, ...]:
        """Every readable run below the folder, baseline or not, oldest first."""
        found = []
        for path in _files(self.folder):
            with suppress(ValueError):  # a file of another suite, or half written, is no part of the history
                found.append(read_run(path))
        return tuple(sorted(found, key=lambda run: (run.when, run.source)))

    def keep(self, file: Path) -> Path:
        """Copy a run into the folder, where it is part of the history and no baseline; returns the copy.

        Raises ValueError, one sentence, where it is no run, of another machine, kept already, or cannot be written.
        """
        content = read_bytes(file)
        run = parse_run(content, str(file))
        self._refuse_foreign(run)
        path = self.folder / NIGHTLY / f"{re.sub(r'[^0-9T]+', '-', run.when)}-{_digest(content)[:8]}.json"
        write_whole(path, content)
        return path

    def record(
        self,
        files: Sequence[Path],
        *,
        who: str,
        when: str,
        why: str,
        rule: Rule | None = None,
        sessions: Sessions = None,
        part: bool = False,
    ) -> Change:
        """Make these runs, in their compact form, the first baseline; `part`: of a part of the suite, as was asked
        for. Raises ValueError where there is one already, or as `accept` does."""
        return self._write("record", files, who, when, why, rule or Rule(), frozenset(), sessions, part)

    def accept(
        self,
        files: Sequence[Path],
        *,
        who: str,
        when: str,
        why: str,
        rule: Rule | None = None,
        gone: frozenset[BenchmarkId] = frozenset(),
        sessions: Sessions = None,
        part: bool = False,
    ) -> Change:
        """Make these runs, in their compact form, the baseline in place of the one in force; `gone` names benchmarks
        that may vanish. The runs that it replaces are removed unless they are golden; what they said of sessions
        counts on.

        Raises ValueError, one sentence, where a run may not become a baseline, is of another machine, lacks a benchmark
        of the old baseline, where `why` is empty, or where nothing can be written. Nothing is overwritten, ever.
        """
        return self._write("accept", files, who, when, why, rule or Rule(), gone, sessions, part)

    def pin(self, *, who: str, when: str, why: str) -> Change:
        """Make the baseline in force the golden one, and remove the runs that were. Raises ValueError as `accept`
        does."""
        _demand(why, "why")
        with self._locked():
            changes = read_changes(self.folder)
            if not changes:
                raise ValueError(f"{self.folder}: no baseline to pin")
            change = Change(kind="pin", who=who, when=when, why=why, files=changes[-1].files, cases=[])
            self._append(changes, change)
        return change

    def _refuse_foreign(self, run: StoredRun) -> None:
        if run.machine != self.machine:
            raise ValueError(f"{run.source}: measured on {run.machine or 'an unnamed machine'}, not {self.machine}")

    def _runs(self, change: Change) -> list[StoredRun]:
        runs = []
        for name, digest in change.files.items():
            path = self.folder / name
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                raise ValueError(f"{path}: the baseline names this file, and it is gone") from None
            except OSError as error:
                raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
            run = parse_run(content, str(path))
            if _digest(content) != digest:
                raise ValueError(f"{path}: changed since it became the baseline")
            self._refuse_foreign(run)
            runs.append(run)
        return runs

    def _write(
        self,
        kind: Kind,
        files: Sequence[Path],
        who: str,
        when: str,
        why: str,
        rule: Rule,
        gone: frozenset[BenchmarkId],
        sessions: Sessions,
        part: bool,
    ) -> Change:
        _demand(who, "who")
        _demand(why, "why")
        contents = [compact_run(read_bytes(path), str(path), (sessions or {}).get(path, "")) for path in files]
        runs = [parse_run(content, str(path)) for content, path in zip(contents, files, strict=True)]
        for run in runs:
            self._refuse_foreign(run)
        if why_not := why_not_baseline(runs, rule, part=part):
            raise ValueError(why_not)
        with self._locked():
            changes = read_changes(self.folder)
            if kind == "record" and changes:
                raise ValueError(f"{self.folder}: has a baseline already; accept replaces it")
            if kind == "accept" and not changes:
                raise ValueError(f"{self.folder}: no baseline to replace; record makes the first")
            old = Baseline.of(self._runs(changes[-1]), rule) if changes else None
            told = sessions_of(runs, rule.floor)
            cases = [_with_sessions(case, told) for case in _old_and_new(old, Baseline.of(runs, rule), gone)]
            return self._place(changes, contents, Change(kind=kind, who=who, when=when, why=why, files={}, cases=cases))

    def _place(self, changes: tuple[Change, ...], contents: Sequence[bytes], change: Change) -> Change:
        """Files first, then the ledger: until its one rename, the old baseline is in force."""
        numbers = [int(found[1]) for path in _files(self.folder) if (found := NUMBERED.fullmatch(path.name))]
        first = max(numbers, default=0) + 1
        if first + len(contents) - 1 > LAST_NUMBER:
            raise ValueError(f"{self.folder}: full; pytest-benchmark finds no file beyond number {LAST_NUMBER}")
        placed: dict[str, str] = {}
        try:
            for number, content in enumerate(contents, first):
                name = f"{machine_id(content)}/{number:04}_{change.kind}.json"
                write_whole(self.folder / name, content)
                placed[name] = _digest(content)
            complete = Change(**{**_fields(change), "files": placed})
            self._append(changes, complete)
            # What was inconclusive against another baseline says nothing of this one.
            keep_streaks(self.folder, Streaks())
        except BaseException:
            # What interrupted it may have come after the rename.
            self._remove(placed.keys() - _named(read_changes(self.folder)))
            raise
        return complete

    def _append(self, changes: tuple[Change, ...], change: Change) -> None:
        """The ledger's one rename; then the runs go that are neither in force nor golden now. What an interruption
        leaves of them does no harm, and the next change removes it."""
        now = (*changes, change)
        write_whole(self.folder / LEDGER, text_of(now).encode(), replace=True)
        self._remove(_named(now) - _named([change, golden_of(now) or change]))

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.folder / LOCK
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            raise ValueError(f"{path}: another process is writing this baseline; delete the file if none is") from None
        except OSError as error:
            raise ValueError(f"{self.folder}: cannot be written ({error.strerror})") from None
        try:
            os.close(handle)
            yield
        finally:
            with suppress(OSError):
                path.unlink()


def machine_id(content: bytes) -> str:
    """The folder that pytest-benchmark looks into: system, Python and word size of the run itself."""
    info: Mapping[str, Any] = json.loads(content).get("machine_info") or {}
    version = ".".join(str(info.get("python_version", "0.0")).split(".")[:2])
    bits = (info.get("cpu") or {}).get("bits", 64)
    words = (info.get("system") or "unknown", info.get("python_implementation") or "unknown", version, f"{bits}bit")
    return "-".join(re.sub(r"[^\w.]+", "_", str(word)) for word in words)


def _old_and_new(old: Baseline | None, new: Baseline, gone: frozenset[BenchmarkId]) -> list[dict[str, Any]]:
    before = old.expected if old else {}
    for id in sorted(before.keys() - new.expected.keys()):
        if id not in gone:
            raise ValueError(f"{id}: in the baseline and in none of these runs; name it if it is meant to go")
    return [
        {
            "case": id.case,
            "kernel": id.kernel,
            "old": before[id].seconds if id in before else None,
            "new": new.expected[id].seconds if id in new.expected else None,
        }
        for id in sorted(before.keys() | new.expected.keys())
    ]


def _with_sessions(case: dict[str, Any], told: Mapping[BenchmarkId, Component]) -> dict[str, Any]:
    """A case of a change, with what its runs say of sessions, if anything."""
    found = told.get(BenchmarkId(case["case"], case["kernel"]), Component())
    return case | {"between": found.variance, "degrees": found.degrees} if found.degrees else case


def _named(changes: Iterable[Change]) -> set[str]:
    return {name for change in changes for name in change.files}


def _files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.json"), *folder.glob("*/*.json")])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _demand(text: str, name: str) -> None:
    if not text.strip():
        raise ValueError(f"{name}: empty; every change of a baseline says {name}")


def _fields(change: Change) -> dict[str, Any]:
    return {name: getattr(change, name) for name in Change.__slots__}
