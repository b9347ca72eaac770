"""The cells that are drawn for a claim: what of all that it allows they have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from profiles import PROFILES

from pytest_attn.execution.unclaimed import Unclaimed
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.selfcheck.reach.allowed import allowed_cases
from pytest_attn.selfcheck.reach.reach import Reach, reach_of

FEWEST = 400
SHARE = {**dict.fromkeys(("dtype", "layout", "ask", "group"), 0.75), "mask": 0.05}
"""Least count of a value by that of all values of its axis; windows stand in `core` alone, where triples count them."""


def unclaimed(claims: dict[str, Any]) -> Unclaimed:
    return Unclaimed(Capabilities.of(**claims))


def shortfalls(found: Reach) -> Iterator[str]:
    """What is missing of what every claim is promised."""
    if found.missing:
        yield f"no cell has {found.missing[:5]}"
    if found.triples < 0.95:
        yield f"{found.triples:.1%} of the triples"
    if (cells := found.cells["boundary"] + found.cells["core"]) < FEWEST:
        yield f"{cells} cells"
    for axis, counts in found.shares.items():
        fair = sum(counts.values()) / len(counts)
        if min(counts.values()) < SHARE.get(axis, 0.4) * fair:
            yield f"unequal shares of {axis}: {counts}"


@pytest.mark.parametrize("name", PROFILES)
def test_a_claim_has_cells_of_all_pairs_nearly_all_triples_and_every_value(name: str) -> None:
    assert [*shortfalls(reach_of(Unclaimed(PROFILES[name].capabilities)))] == []


def test_the_walk_knows_claims_of_one_value_each() -> None:
    claims = {"dtypes": "float16", "head_dims": 128, "causal": True, "block_table": True}
    found = allowed_cases(unclaimed(claims), 50)
    assert len(found) == 50
    assert {(case.dtype, case.head_dim) for case in found} == {("float16", 128)}


def test_no_case_is_walked_where_none_is_claimed() -> None:
    refuses = {"everything": lambda problem: True}
    assert allowed_cases(unclaimed({"refuses": refuses}), 5) == []
