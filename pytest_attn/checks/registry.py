"""The checks that run a kernel more than once, by the word in the id of a case."""

from __future__ import annotations

from pytest_attn.checks.again import AGAIN
from pytest_attn.checks.check import VALUE, Check
from pytest_attn.checks.sequence import SEQUENCE
from pytest_attn.problem.case import OracleName

CHECKS: dict[OracleName, Check] = {"again": AGAIN, "sequence": SEQUENCE}
"""A case that names another oracle is one run against a reference."""


def check_of(oracle: OracleName) -> Check:
    """The check of a case by what it compares with."""
    return CHECKS.get(oracle, VALUE)
