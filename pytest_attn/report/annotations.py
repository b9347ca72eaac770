"""The worst failures as GitHub's workflow commands, which it shows beside a run."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_attn.report.results import Results, worst_failed

MOST = 10
"""Annotations of errors that GitHub shows for one step."""


def error_annotations(results: Sequence[Results]) -> str:
    """A line for each of the ten worst failures: of the run as a whole, then of cells, then of speed."""
    found = [("the run", sentence) for each in results for sentence in each.run_failures]
    found += [(f"{record.case} [{record.kernel}]", record.message) for record in worst_failed(results)]
    failing = [decision for each in results for decision in each.failing]
    found += [(f"{decision.word}: {decision.id}", decision.line) for decision in failing]
    return "".join(f"::error title={property_of(title)}::{message_of(text)}\n" for title, text in found[:MOST])


def message_of(text: str) -> str:
    """A message as GitHub's runner reads it back (`escapeData` of actions/toolkit)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def property_of(text: str) -> str:
    """A property as GitHub's runner reads it back (`escapeProperty` of actions/toolkit)."""
    return message_of(text).replace(":", "%3A").replace(",", "%2C")
