"""The lines at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_attn.records.record import Record

PARTS = ("kernel", "oracle", "judge", "inputs", "latency")


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
    spent = {part: sum(record.seconds.get(part, 0.0) for record in records) for part in PARTS}
    kernel = spent["kernel"]
    rest = max(total - sum(spent.values()), 0.0) + spent["inputs"]
    shown = [("kernel", kernel), ("oracle", spent["oracle"]), ("judge", spent["judge"]), ("rest", rest)]
    if spent["latency"]:
        shown.insert(3, ("latency", spent["latency"]))
    extra = {name: sum(record.seconds.get(name, 0.0) for record in records) for name in ("diagnosis", "shrink")}
    shown += [(name, seconds) for name, seconds in extra.items() if seconds >= 0.05]
    shown = [(name, seconds - sum(extra.values()) if name == "rest" else seconds) for name, seconds in shown]
    beside = f" | {total - kernel:.1f} s beside the kernel" if kernel >= 1 else ""
    return " | ".join(f"{name} {max(seconds, 0.0):.1f} s" for name, seconds in shown) + beside


def unclaimed_line(records: Sequence[Record]) -> str:
    """What was not claimed, the most frequent first; empty where all was."""
    reasons = Counter(record.why.removeprefix("not claimed: ") for record in records if record.outcome == "not claimed")
    listed = [f"{count} {reason}" for reason, count in reasons.most_common()]
    return f"not claimed {reasons.total()}: {', '.join(listed)}" if listed else ""


def why_nothing_ran(records: Sequence[Record]) -> str:
    """The reasons for which no cell was judged, the most frequent first."""
    reasons = Counter(record.reason for record in records if not record.ran)
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5)) or "no cell was selected"
