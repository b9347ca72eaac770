"""The ledger of a machine's baselines: every change, in order, with who made it, when and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_attn.gate.spread import Component
from pytest_attn.records.benchmark_id import BenchmarkId

LEDGER = "CHANGES.jsonl"

Kind = Literal["record", "accept", "pin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change: which files are the baseline from here on. A file that no change names is no baseline."""

    kind: Kind
    who: str
    when: str
    """ISO 8601 with an offset."""

    why: str
    files: dict[str, str]
    """Digest of each file's bytes by its path below the machine's folder; of a baseline that is neither in force nor
    golden any more the files are gone."""

    cases: list[dict[str, Any]]
    """`case`, `kernel`, and seconds per call, `old` and `new`, of every benchmark; None where there was or is none.

    Of a baseline of several sessions also `between`, the variance of a log between them as they alone tell it, and
    `degrees`, its degrees of freedom: later baselines of this machine go on from there.
    """


def read_changes(folder: Path) -> tuple[Change, ...]:
    """All changes of a machine's folder, oldest first; none where there is no ledger.

    Raises ValueError, one sentence, for a line that is not one of ours.
    """
    path = folder / LEDGER
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
    return tuple(_parse(line, f"{path}:{number}") for number, line in enumerate(text.splitlines(), 1))


def golden_of(changes: Sequence[Change]) -> Change | None:
    """The change whose baseline slow drift is measured against: the first record, or the last pin."""
    return next((change for change in reversed(changes) if change.kind != "accept"), None)


def sessions_before(changes: Sequence[Change]) -> dict[BenchmarkId, Component]:
    """What baselines said of the variance of each benchmark between sessions, all together.

    Raises ValueError, one sentence, for a case that is not one of ours.
    """
    found: dict[BenchmarkId, Component] = {}
    for change in changes:
        for case in change.cases:
            if "degrees" not in case:
                continue
            try:
                id = BenchmarkId(case["case"], case["kernel"])
                component = Component(variance=float(case["between"]), degrees=float(case["degrees"]))
            except (KeyError, TypeError, ValueError):
                raise ValueError(f"a change of {change.when}: no case of a ledger of baselines: {case!r}") from None
            found[id] = found.get(id, Component()).joined(component)
    return found


def text_of(changes: tuple[Change, ...]) -> str:
    """The ledger's text, a line each."""
    return "".join(json.dumps(asdict(change)) + "\n" for change in changes)


def _parse(line: str, where: str) -> Change:
    try:
        change = Change(**json.loads(line))
    except (ValueError, TypeError):
        raise ValueError(f"{where}: no line of a ledger of baselines: {line[:60]!r}") from None
    if change.kind not in ("record", "accept", "pin") or not isinstance(change.files, dict) or not change.files:
        raise ValueError(f"{where}: a change of kind {change.kind!r} with files {change.files!r}")
    if any(Path(file).is_absolute() or ".." in Path(file).parts for file in change.files):
        raise ValueError(f"{where}: names a file outside of the machine's folder")
    return change
