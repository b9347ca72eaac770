"""Cells of each head dimension: whatever is checked somewhere is checked there."""

from __future__ import annotations

from typing import get_args

import pytest

from pytest_attn.problem.case import Case
from pytest_attn.problem.relations import Relation
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.problem.sweeps.head_dims import HEAD_DIMS
from pytest_attn.problem.variants.registry import variants


def cells(dim: int, *groups: str) -> list[Case]:
    found = {**find_sweep("boundary").groups, **find_sweep("backward").groups}
    return [case for group in groups for case in found[group] if (case.head_dim, case.value_dim) == (dim, dim)]


@pytest.mark.parametrize("dim", HEAD_DIMS)
def test_every_way_of_calling_is_tried_in_every_memory(dim: int) -> None:
    found = {(case.layout, case.oracle) for case in cells(dim, "boundary_head_dims")}
    assert found >= {(layout, "sequence") for layout in ("contiguous", "strided", "bsnd")}
    assert found >= {("contiguous", relation) for relation in get_args(Relation)}
    assert found >= {("contiguous", "again"), ("strided", "again"), ("strided", "exact"), ("bsnd", "exact")}


@pytest.mark.parametrize("dim", HEAD_DIMS)
def test_long_caches_and_many_rows_are_tried(dim: int) -> None:
    lengths = {(case.query_length, case.key_length) for case in cells(dim, "boundary_head_dims")}
    assert {(1, 2049), (1025, 1025)} <= lengths


@pytest.mark.parametrize("dim", HEAD_DIMS)
def test_every_variant_is_tried_with_one_query_and_with_many(dim: int) -> None:
    own = [name for name, each in variants().items() if "pytest_attn" in each.__module__]
    found = {
        (variant.capability, case.query_length == 1)
        for case in cells(dim, "boundary_head_dims_variants")
        for variant in case.variants
    }
    assert found == {(name, single) for name in own for single in (True, False)}


@pytest.mark.parametrize("dim", HEAD_DIMS)
def test_gradients_are_asked_for_with_and_without_a_mask_and_with_every_variant_that_has_some(dim: int) -> None:
    found = cells(dim, "backward_head_dims", "backward_head_dims_variants")
    assert {case.causal for case in found} == {None, "bottom-right"}
    assert {case.layout for case in found} == {"contiguous", "strided"}
    assert {v.capability for case in found for v in case.variants} == {"window_size", "seqused_k", "cu_seqlens"}
