"""Which check a case names."""

from __future__ import annotations

from collections.abc import Callable

from pytest_attn.checks.subject import Subject, value
from pytest_attn.judge.verdict import Verdict
from pytest_attn.problem.case import OracleName

Check = Callable[[Subject], Verdict]

CHECKS: dict[OracleName, Check] = {}
"""The checks that run a kernel more than once; a case that names another oracle is one run against a reference."""


def check_of(oracle: OracleName) -> Check:
    """The check of a case by what it compares with."""
    return CHECKS.get(oracle, value)
