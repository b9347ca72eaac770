"""What is wrong with a kernel over all cells of a run: its failures by cause, and where they are and are not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_attn.problem.kinds import family_of
from pytest_attn.records.record import Record
from pytest_attn.report.red_axes import red_axes
from pytest_attn.text import counted, cut

UNEXPLAINED = "no single bug accounts for these"
"""The cause of cells that a diagnosis says nothing of."""

MOST_CAUSES = 8
"""Groups of a kernel that are printed; the rest is counted."""

MOST_WORDS = 240
"""Characters of a cause that are printed."""


@dataclass(frozen=True)
class Failures:
    """The failed cells of one kernel that have one cause, the cheapest first."""

    kernel: str
    kind: str
    """The kind of bug, or the first by name of those that it may be called; empty where none was named."""

    records: tuple[Record, ...]

    @property
    def smallest(self) -> Record:
        """The cheapest cell, or the one that was shrunk furthest."""
        return min(self.records, key=lambda record: (not record.smallest, record.flops, len(record.case), record.case))

    @property
    def cause(self) -> str:
        """What the cells have in common, in words: the diagnosis of most of them, and of those the cheapest."""
        return self.smallest.cause


def failures_of(records: Iterable[Record]) -> list[Failures]:
    """The failed cells of all kernels by cause, the most frequent cause of each kernel first.

    Cells have one cause where a diagnosis names the same kind of bug, or without one where the kernel raised or refused
    in the same words. What no diagnosis explains is a group of its own, and never counted to another.
    """
    found: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        if record.outcome == "failed":
            found.setdefault((record.kernel, *cause_key(record)), []).append(record)
    groups = [
        Failures(kernel, kind, tuple(sorted(own, key=lambda each: (each.flops, each.case))))
        for (kernel, kind, _), own in found.items()
    ]
    return sorted(groups, key=lambda group: (group.kernel, _numbers_alone(group), -len(group.records)))


def failure_lines(records: Sequence[Record]) -> list[str]:
    """The end of a red run, for a person: of each kernel how many cells are red, by which causes, where, and the
    smallest of each with the command that runs it. Empty where none is red."""
    groups = failures_of(records)
    lines: list[str] = []
    for kernel in dict.fromkeys(group.kernel for group in groups):
        own = [group for group in groups if group.kernel == kernel]
        judged = [record for record in records if record.kernel == kernel and record.ran]
        red = sum(len(group.records) for group in own)
        lines.append(f"{red} of {len(judged)} cells are red [{kernel}]: {counted(len(own), 'cause')}")
        for group in own[:MOST_CAUSES]:
            lines += _lines(group, judged)
        if len(own) > MOST_CAUSES:
            rest = sum(len(group.records) for group in own[MOST_CAUSES:])
            lines.append(f"  and {counted(len(own) - MOST_CAUSES, 'cause')} more, {counted(rest, 'cell')}")
    return lines


def _lines(group: Failures, judged: Sequence[Record]) -> list[str]:
    smallest = group.smallest
    named = f"{UNEXPLAINED}, such as {group.cause}" if _numbers_alone(group) else group.cause
    lines = [f"  {len(group.records)} x {cut(named, MOST_WORDS)}"]
    where = red_axes(judged, group.records)
    if where:
        lines.append(f"      {where}")
    case = smallest.smallest or smallest.case
    lines.append(f"      smallest: {case}{f', shrunk from {smallest.case}' if case != smallest.case else ''}")
    if smallest.reproduce:
        lines.append(f"      {smallest.reproduce.replace(smallest.case, case)}")
    return lines


def cause_key(record: Record) -> tuple[str, str]:
    """(kind, words without their numbers): what failed cells of one cause have in common."""
    if record.diagnosis is not None:
        return min(family_of(record.diagnosis.kind)), ""
    if record.why:
        return "", _without_numbers(record.why)
    first = record.findings[0] if record.findings else None
    return "", _without_numbers(first.words) if first is not None and first.figure is None else ""


def _numbers_alone(group: Failures) -> bool:
    """Whether cells are in a group for no other reason than that their numbers are wrong."""
    return not group.kind and not cause_key(group.records[0])[1]


def _without_numbers(words: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", words)
