"""Cells at lengths where kernels change their path: which of them there are."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest

from pytest_attn.problem.case import Case
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.problem.sweeps.thresholds import CARRIED, LONG_DIMS, MANY_BLOCKS, PREFILL_MASKS, SHORT, THRESHOLDS
from pytest_attn.problem.variants.registry import variants
from pytest_attn.problem.variants.variant import Variant

GROUPS = (
    *("boundary_many_keys", "boundary_many_keys_variants", "boundary_many_queries", "boundary_long_causal"),
    "boundary_prefill",
)


def cells(group: str) -> tuple[Case, ...]:
    return find_sweep("boundary").groups[group]


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_keys_lie_on_both_sides_of_a_threshold_with_one_query(threshold: int) -> None:
    lengths = {case.key_length for case in cells("boundary_many_keys") if case.query_length == 1}
    assert {threshold - 1, threshold + 1} <= lengths


@pytest.mark.parametrize(("threshold", "dim"), [*product(SHORT, (64, 256))])
def test_wide_and_narrow_heads_have_one_query_on_both_sides_of_a_threshold(threshold: int, dim: int) -> None:
    own = {c.key_length for c in cells("boundary_many_keys") if (c.query_length, c.value_dim) == (1, dim)}
    assert {threshold - 1, threshold + 1} <= own


@pytest.mark.parametrize("capability", [name for name, each in variants().items() if "pytest_attn" in each.__module__])
def test_every_variant_has_keys_beyond_every_threshold(capability: str) -> None:
    own = [
        case.key_length
        for case in cells("boundary_many_keys_variants")
        if capability in {variant.capability for variant in case.variants}
    ]
    assert {threshold + 1 for threshold in THRESHOLDS} <= set(own)


@pytest.mark.parametrize("carried", CARRIED, ids=lambda each: "-".join(variant.token for variant in each))
def test_every_variant_decodes_one_token_and_several_in_a_cache_beyond_2048_keys(carried: tuple[Variant, ...]) -> None:
    long = [case for case in cells("boundary_many_keys_variants") if case.key_length > 2048]
    own = {case.query_length for case in long if set(case.variants) == set(carried)}
    assert 1 in own
    assert len(own) > 1


@pytest.mark.parametrize("carried", CARRIED, ids=lambda each: "-".join(variant.token for variant in each))
def test_every_variant_has_a_prefill_of_more_than_1024_tokens(carried: tuple[Variant, ...]) -> None:
    own = [case.query_length for case in cells("boundary_prefill") if set(case.variants) == set(carried)]
    assert max(own) > 1024


@pytest.mark.parametrize("fields", [*PREFILL_MASKS[1:], *MANY_BLOCKS], ids=str)
def test_every_mask_has_more_than_600_keys_and_queries_beyond_a_tile(fields: dict[str, Any]) -> None:
    long = [case for case in cells("boundary_prefill") if case.query_length > 128 and case.key_length > 600]
    assert any(all(getattr(case, name) == value for name, value in fields.items()) for case in long)


@pytest.mark.parametrize("group", [1, 2, 3, 4])
def test_every_group_has_a_prefill_of_more_than_1024_tokens(group: int) -> None:
    own = [c.query_length for c in cells("boundary_prefill") if c.query_heads // c.key_heads == group]
    assert max(own) > 1024


@pytest.mark.parametrize("dim", [(64, 64), (256, 256), *LONG_DIMS])
def test_models_decode_with_their_head_dimension_in_a_cache_beyond_8192_keys(dim: tuple[int, int]) -> None:
    own = {(c.head_dim, c.value_dim) for c in cells("boundary_many_keys") if c.key_length > 8193}
    assert dim in own


def test_a_ragged_batch_has_a_sequence_as_long_as_its_tensors() -> None:
    for case in cells("boundary_many_keys_variants"):
        found = [lengths for variant in case.variants if (lengths := variant.lengths(case))]
        assert all(max(keys for _, keys in lengths) == case.key_length for lengths in found)


def test_rows_are_counted_beyond_every_threshold_of_16_bits() -> None:
    assert {case.query_length > 2**16 for case in cells("boundary_many_queries")} == {True, False}


@pytest.mark.parametrize("group", GROUPS)
def test_a_cell_is_cheap(group: str) -> None:
    assert max(flops(case) for case in cells(group)) < 5e9
    assert max(case.batch * case.key_heads * case.key_length * case.value_dim for case in cells(group)) < 2**25


@pytest.mark.parametrize("group", GROUPS[:3])
def test_every_dtype_and_ask_has_its_share(group: str) -> None:
    for counts in (Counter(case.dtype for case in cells(group)), Counter(case.ask for case in cells(group))):
        assert min(counts.values()) > 0.8 * len(cells(group)) / len(counts)
