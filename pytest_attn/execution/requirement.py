"""Cells that do not run although the user requires them to."""

from __future__ import annotations

from dataclasses import replace

from pytest_attn.execution.reproduce import reproduce
from pytest_attn.execution.session import Session
from pytest_attn.problem.case import Case
from pytest_attn.records.record import Record

REQUIREMENTS = {"not here": "here", "not claimed": "claimed"}
"""The word of `--attn-require` that allows no such outcome."""


def required(skipped: Record, session: Session) -> Record:
    """The record of a cell that does not run: failed where `--attn-require` says so."""
    requirement, options = REQUIREMENTS.get(skipped.outcome), session.options
    if requirement is None or requirement not in options.require:
        return skipped
    why = f"{skipped.reason}, and --attn-require={','.join(options.require)} allows no such skip"
    command = reproduce(skipped.kernel, Case.parse(skipped.case), options, session.device, requirement)
    return replace(skipped, outcome="failed", why=why, reproduce=command)
