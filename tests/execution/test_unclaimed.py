"""How far a case is from what a kernel claims, by which cells are drawn."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_attn.execution.unclaimed import Unclaimed
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.refusal import RefusalError
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.problem.variants import Alibi, Packed

DENSE = Case(129, 129, head_dim=64, dtype="float16", ask="out")


def missed(case: Case, **claims: Any) -> int:
    return Unclaimed(Capabilities.of(**claims))(case)


def test_a_claimed_case_misses_nothing() -> None:
    assert missed(DENSE) == 0


@pytest.mark.parametrize(
    ("claims", "fields", "count"),
    [
        ({}, {"causal": "bottom-right"}, 1),
        ({}, {"causal": "bottom-right", "ask": "both"}, 2),
        ({"dtypes": "float32", "head_dims": 128}, {}, 2),
        ({"refuses": {"long": lambda problem: problem.key_length > 128}}, {}, 1),
        ({}, {"variants": (Alibi(), Packed())}, 2),
    ],
)
def test_each_need_that_is_not_claimed_counts(claims: dict[str, Any], fields: dict[str, Any], count: int) -> None:
    values = {name: getattr(DENSE, name) for name in ("head_dim", "dtype", "ask")}
    assert missed(Case(129, 129, **{**values, **fields}), **claims) == count


def test_needs_of_what_a_relation_runs_beside_count() -> None:
    expanded = Case(129, 129, query_heads=4, key_heads=2, head_dim=64, ask="out", oracle="expandedheads")
    assert missed(expanded, gqa=True, key_heads=2) == 1


def test_a_device_does_not_count() -> None:
    assert missed(DENSE, devices="npu") == 0


@pytest.mark.parametrize("predicate", [lambda problem: 1 / 0, lambda problem: None])
def test_a_predicate_that_says_neither_yes_nor_no_is_named(predicate: Any) -> None:
    with pytest.raises(RefusalError, match=r"^refuses\['odd ones'\] .*; allowed: True or False, of every problem$"):
        find_sweep("decode", Unclaimed(Capabilities.of(refuses={"odd ones": predicate})))


def test_sizes_are_those_that_are_claimed_by_name() -> None:
    sizes = Unclaimed(Capabilities.of(head_dims=(48, 64), block_sparse=True)).sizes
    assert sizes == {"head_dims": (48, 64), "key_heads": (), "block_sizes": ()}
