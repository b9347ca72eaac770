"""Cells of causal self-attention: which of them there are."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_attn.problem.sweep import find_sweep
from pytest_attn.problem.vocabulary import DTYPES

CASES = find_sweep("boundary").groups["boundary_self_attention"]


def test_queries_and_keys_are_as_many_under_a_causal_mask() -> None:
    assert {(case.causal, case.query_length - case.key_length) for case in CASES} == {("bottom-right", 0)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_residue_to_a_tile_of_128_is_asked_in_every_dtype(dtype: str) -> None:
    assert {case.query_length % 128 for case in CASES if case.dtype == dtype} == set(range(128))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_residue_to_a_tile_of_64_is_asked_with_and_without_groups_and_for_the_output_alone(dtype: str) -> None:
    own = [case for case in CASES if case.dtype == dtype]
    grouped = Counter(case.query_heads > case.key_heads for case in own)
    assert {case.query_length % 64 for case in own if case.ask == "out"} == set(range(64))
    assert min(grouped[True], grouped[False]) > len(own) / 3


def test_a_narrow_claim_has_a_fair_share() -> None:
    own = [c for c in CASES if (c.dtype, c.head_dim, c.ask) == ("float16", 64, "out")]
    assert len({case.query_length % 64 for case in own}) >= 12
