"""The results of runs as GitHub-flavoured Markdown, for the step summary of a workflow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_attn.gate.gate import WORDS, worst_first
from pytest_attn.records.decision import Decision, seconds
from pytest_attn.records.record import Record
from pytest_attn.report.results import Results, worst_failed

LARGEST = 900 * 1024
"""Bytes of a summary; GitHub refuses a step's summary of more than 1 MiB."""

LONGEST = 2000
"""Characters of one text; a longer one is cut."""

LEFT_OUT = 80
"""Bytes kept free in each section for the line that says how many rows are left out."""

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its rows, of which the last ones are left out where space ends."""

    head: str
    rows: tuple[str, ...]
    unit: str
    """What a row is, in the plural."""


def markdown(results: Sequence[Results], limit: int = LARGEST) -> str:
    """What failed and what was decided, worst first, then the counts; at most `limit` bytes of UTF-8.

    Rows that find no space are left out whole, and their number is said.
    """
    sections = [_claims(results), _failed_cells(results), _decisions(results), _not_run(results)]
    return _fitted(f"## {headline(results)}\n", [section for section in sections if section.rows], limit)


def headline(results: Sequence[Results]) -> str:
    """How much failed; that nothing did is said only where something was judged or compared."""
    failed = sum(len(each.failed) for each in results)
    words = Counter(decision.word for each in results for decision in each.failing)
    sentences = sum(len(each.run_failures) for each in results)
    parts = [f"{failed} failed cell{'s' * (failed != 1)}"] if failed else []
    parts += [f"{words[word]} {word}" for word in WORDS if words[word]]
    parts += [f"{sentences} fault{'s' * (sentences != 1)} of the run"] if sentences else []
    if parts:
        return ", ".join(parts)
    judged = any(record.ran for each in results for record in each.records)
    compared = any(each.gate and each.gate.decisions for each in results)
    return "Nothing failed" if judged or compared else "Nothing was judged"


def _claims(results: Sequence[Results]) -> Section:
    return Section("", tuple(f"- {code(each.source)}: {escaped(each.claim)}\n" for each in results), "folders")


def _failed_cells(results: Sequence[Results]) -> Section:
    failed = worst_failed(results)
    return Section("\n### Failed cells, worst first\n", tuple(map(_failed_cell, failed)), "failed cells")


def _failed_cell(record: Record) -> str:
    reproduce = f"\n{block(record.reproduce)}" if record.reproduce else ""
    smallest = f"\nSmallest failing case: {code(record.smallest)}\n" if record.smallest not in ("", record.case) else ""
    return f"\n{code(record.case)} {code(record.kernel)}: {escaped(record.reason)}\n{reproduce}{smallest}"


def _decisions(results: Sequence[Results]) -> Section:
    decisions = worst_first(decision for each in results if each.gate for decision in each.gate.decisions)
    head = (
        "\n### Speed against the baseline, worst first\n\n"
        "| word | case | kernel | old | new | ratio (99 % interval) | floor | smallest detectable | reason |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---|\n"
    )
    return Section(head, tuple(map(_decision, decisions)), "benchmarks")


def _decision(decision: Decision) -> str:
    ratio = "" if decision.ratio is None else f"{decision.ratio:.3f}"
    if decision.interval is not None:
        ratio += " ({:.3f} to {:.3f})".format(*decision.interval)
    least = decision.smallest_detectable
    cells = (
        decision.word,
        code(decision.id.case),
        code(decision.id.kernel),
        seconds(decision.old),
        seconds(decision.new),
        ratio,
        f"{decision.floor * 100:.3g}%",
        "" if least is None else f"{least * 100:.2g}%",
        escaped("; ".join(part for part in (decision.stage, decision.reason) if part)),
    )
    return f"| {' | '.join(cells)} |\n"


def _not_run(results: Sequence[Results]) -> Section:
    why = Counter(record.reason or record.outcome for each in results for record in each.records if not record.ran)
    rows = tuple(f"| {count} | {escaped(reason)} |\n" for reason, count in why.most_common())
    return Section("\n### Cells that did not run\n\n| cells | why |\n|---:|---|\n", rows, "reasons")


def _fitted(title: str, sections: Sequence[Section], limit: int) -> str:
    """Sections in order; each takes the rows that fit once all headings have their place."""
    left = limit - _size(title) - sum(_size(section.head) + LEFT_OUT for section in sections)
    parts = [title, "\n"]
    left -= 1
    for section in sections:
        parts.append(section.head)
        taken = 0
        for row in section.rows:
            if _size(row) > left:
                break
            left -= _size(row)
            taken += 1
        parts += section.rows[:taken]
        if taken < len(section.rows):
            parts.append(f"\n{len(section.rows) - taken} more {section.unit} are left out.\n")
    return "".join(parts)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def escaped(text: str) -> str:
    """A text as one line that Markdown shows as it is, in a table, too."""
    return SPECIAL.sub(r"\\\1", _cut(" ".join(text.split())))


def code(text: str) -> str:
    """A text as a code span, in a table, too."""
    plain = _cut(" ".join(text.split())).replace("|", "\\|")
    fence = _fence(plain, 1)
    return f"{fence} {plain} {fence}" if "`" in plain else f"{fence}{plain}{fence}"


def block(text: str) -> str:
    """A text as a block of code."""
    fence = _fence(text, 3)
    return f"{fence}sh\n{_cut(text)}\n{fence}\n"


def _fence(text: str, shortest: int) -> str:
    """More backticks than any run of them in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(shortest, longest + 1)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."
