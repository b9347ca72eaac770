"""A recording under way: runs that will be a baseline, kept as they come, so that whatever ends it loses none of them.

They lie in `recording/<session>/NN.json` beside the baselines of the machine, a session named by when it began, beside
what was asked for. A process belongs to the session that it followed closely; after a pause, as by a reboot, another
one begins.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pytest_attn.gate.files import read_bytes, write_whole
from pytest_attn.gate.run_file import read_run
from pytest_attn.gate.streaks import ignore

ASKED = "asked.json"
NAMED = "%Y%m%dT%H%M%SZ"
"""How a session is named by its beginning, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many processes, in how many sessions, how far apart."""

    sessions: int
    processes: int
    """In each session."""

    apart: timedelta
    """From the last process of a session to the first of the next, at least."""

    @classmethod
    def of(cls, sessions: int, runs: int, apart: timedelta) -> Plan:
        """The plan of `runs` processes in all."""
        return cls(sessions=sessions, processes=math.ceil(runs / sessions), apart=apart)

    def lacking(self, sessions: Mapping[str, Sequence[Path]]) -> int:
        """How many processes are still to come. A session that was cut short is made up for by another one."""
        counted = sum(min(len(files), self.processes) for files in sessions.values())
        return max(0, self.sessions * self.processes - counted)


@dataclass(frozen=True, slots=True)
class Recording:
    """The runs that are kept in a folder."""

    folder: Path

    def begin(self, arguments: Sequence[str]) -> None:
        """Note what is asked for. Raises ValueError where a recording of something else is under way."""
        path = self.folder / ASKED
        if not path.exists():
            write_whole(path, json.dumps([*arguments]).encode())
            ignore(self.folder.parent)
            return
        try:
            before = json.loads(read_bytes(path))
        except ValueError:
            before = None
        if before != [*arguments]:
            raise ValueError(f"{self.folder}: a recording of other tests is under way; delete the folder to begin anew")

    @property
    def sessions(self) -> dict[str, list[Path]]:
        """The runs of each session, oldest first."""
        found = {path.name: sorted(path.glob("*.json")) for path in sorted(self.folder.glob("*T*Z"))}
        return {name: files for name, files in found.items() if files}

    def session_at(self, now: datetime, plan: Plan) -> tuple[str, timedelta]:
        """The session of a process that starts now, and how long to wait for it; 0 where it can start."""
        sessions = self.sessions
        if not sessions:
            return now.strftime(NAMED), timedelta()
        last = [*sessions][-1]
        since = now - self._ended(sessions[last][-1])
        if since < plan.apart and len(sessions[last]) < plan.processes:
            return last, timedelta()
        return now.strftime(NAMED), max(plan.apart - since, timedelta())

    def keep(self, file: Path, session: str) -> Path:
        """Keep a run; returns where. Raises ValueError, one sentence, where it cannot be written."""
        number = len(self.sessions.get(session, ())) + 1
        kept = self.folder / session / f"{number:02}.json"
        write_whole(kept, read_bytes(file))
        return kept

    def drop(self) -> None:
        """Forget all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ended(self, file: Path) -> datetime:
        found = datetime.fromisoformat(read_run(file).when)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
