"""The checks that run a kernel more than once, by the word in the id of a case."""

from __future__ import annotations

from pytest_attn.checks.again import AGAIN
from pytest_attn.checks.check import VALUE, Check
from pytest_attn.checks.relations.heads import EXPANDED_HEADS, LONE_HEAD
from pytest_attn.checks.relations.keys import DUPLICATED_KEYS, PERMUTED_KEYS, SHIFTED_KEYS, SPLIT_KEYS
from pytest_attn.checks.relations.rows import HIDDEN_KEYS, LAST_ROW
from pytest_attn.checks.relations.values import SUMMED_VALUES
from pytest_attn.checks.sequence import SEQUENCE
from pytest_attn.problem.vocabulary import OracleName

CHECKS: dict[OracleName, Check] = {
    "again": AGAIN,
    "sequence": SEQUENCE,
    "permutedkeys": PERMUTED_KEYS,
    "shiftedkeys": SHIFTED_KEYS,
    "duplicatedkeys": DUPLICATED_KEYS,
    "splitkeys": SPLIT_KEYS,
    "expandedheads": EXPANDED_HEADS,
    "hiddenkeys": HIDDEN_KEYS,
    "summedvalues": SUMMED_VALUES,
    "lonehead": LONE_HEAD,
    "lastrow": LAST_ROW,
}
"""A case that names another oracle is one run against a reference."""


def check_of(oracle: OracleName) -> Check:
    """The check of a case by what it compares with."""
    return CHECKS.get(oracle, VALUE)
