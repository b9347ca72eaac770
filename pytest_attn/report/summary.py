"""The lines at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_attn.records.record import Record

PARTS = ("kernel", "oracle", "judge", "inputs", "latency")

OF_FAILURES = ("diagnosis", "shrink")
"""Parts that only failed cells have; each runs the kernel and its oracle as well."""


def claim_line(records: Sequence[Record]) -> str:
    """How much of what was asked for was claimed, ran and passed."""
    count = Counter(record.outcome for record in records)
    ran = count["passed"] + count["failed"]
    parts = [
        f"claimed {ran + count['not here']} of {len(records)}",
        f"ran {ran}",
        *(
            f"{outcome} {count[outcome]}"
            for outcome in ("passed", "failed", "not here", "not claimed", "unsatisfiable")
        ),
    ]
    return " | ".join(parts)


def time_split(records: Sequence[Record], total: float) -> str:
    """Where the time went; `total` is the wall time of all processes that ran cells, added up. The rest is starting
    them, collecting, drawing inputs, and pytest's own work."""
    spent = {part: sum(record.seconds.get(part, 0.0) for record in records) for part in (*PARTS, *OF_FAILURES)}
    kernel, of_failures = spent["kernel"], sum(spent[part] for part in OF_FAILURES)
    unnamed = max(total - sum(spent[part] for part in PARTS), 0.0)
    shown = {name: spent[name] for name in ("kernel", "oracle", "judge")}
    if spent["latency"]:
        shown["latency"] = spent["latency"]
    shown["rest"] = max(unnamed + spent["inputs"] - of_failures, 0.0)
    shown |= {name: spent[name] for name in OF_FAILURES if spent[name] >= 0.05}
    beside = f" | {total - kernel:.1f} s beside the kernel" if kernel >= 1 else ""
    return " | ".join(f"{name} {seconds:.1f} s" for name, seconds in shown.items()) + beside


def unclaimed_line(records: Sequence[Record]) -> str:
    """What was not claimed, the most frequent first; empty where all was."""
    reasons = Counter(record.why.removeprefix("not claimed: ") for record in records if record.outcome == "not claimed")
    listed = [f"{count} {reason}" for reason, count in reasons.most_common()]
    return f"not claimed {reasons.total()}: {', '.join(listed)}" if listed else ""


def why_nothing_ran(records: Sequence[Record]) -> str:
    """The reasons for which no cell was judged, the most frequent first."""
    reasons = Counter(record.reason for record in records if not record.ran)
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5)) or "no cell was selected"
