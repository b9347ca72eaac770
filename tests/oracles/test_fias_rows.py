"""Rows without keys, the forms of masks, and the path of a single query, in the FIAS model."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from fias_calls import LOWEST, UPPER, attended, fias, normal, one_thread, ramp

__all__ = ["one_thread"]


def test_rows_beyond_the_actual_length_are_zero_with_lse_plus_infinity() -> None:
    out, lse = fias(*ramp(3, 2), actual_seq_lengths=[1])
    assert attended(out) == [[0, 1], [], []]
    assert lse.flatten().tolist() == pytest.approx([math.log(2), math.inf, math.inf])


@pytest.mark.parametrize("precise", [0, 1, 2, 3])
@pytest.mark.parametrize("mode", [3, 4])
def test_rows_above_the_diagonal_are_zero_with_lse_plus_infinity(mode: int, precise: int) -> None:
    arguments: dict[str, Any] = {"sparse_mode": mode, "next_tokens": 0, "inner_precise": precise}
    out, lse = fias(*ramp(4, 2), atten_mask=UPPER, **arguments)
    assert attended(out) == [[], [], [0], [0, 1]]
    assert lse.flatten().tolist() == pytest.approx([math.inf, math.inf, 0, math.log(2)])


def test_rows_outside_the_band_of_mode_0_are_zero_with_lse_plus_infinity() -> None:
    mask = torch.zeros(5, 2, dtype=torch.bool)
    out, lse = fias(*ramp(5, 2), atten_mask=mask, pre_tokens=1)
    assert attended(out) == [[0, 1], [0, 1], [1], [], []]
    assert lse.flatten()[3:].tolist() == [math.inf] * 2


@pytest.mark.parametrize("precise", [2, 3])
@pytest.mark.parametrize("mode", [0, 1])
def test_a_corrected_row_that_the_mask_empties_is_zero(mode: int, precise: int) -> None:
    mask = torch.tensor([[1, 1, 1], [1, 0, 1]]).bool()
    out, lse = fias(*ramp(2, 3), atten_mask=mask, sparse_mode=mode, inner_precise=precise)
    assert attended(out) == [[], [1]]
    assert lse.flatten().tolist() == [math.inf, 0]


@pytest.mark.parametrize("precise", [0, 1])
@pytest.mark.parametrize("mode", [0, 1])
def test_an_uncorrected_row_that_the_mask_empties_is_the_mean_of_value(mode: int, precise: int) -> None:
    value = normal(1, 1, 5, 4)
    mask = torch.ones(2, 5, dtype=torch.bool)
    arguments: dict[str, Any] = {"atten_mask": mask, "sparse_mode": mode, "inner_precise": precise}
    out, lse = fias(normal(1, 1, 2, 4), normal(1, 1, 5, 4), value, actual_seq_lengths_kv=[3], **arguments)
    torch.testing.assert_close(out[0, 0], value[0, 0, :3].double().mean(0).expand(2, -1))
    assert lse.flatten().tolist() == [LOWEST, LOWEST]


def test_the_mean_of_an_uncorrected_row_is_over_the_keys_of_its_band() -> None:
    mask = torch.ones(3, 5, dtype=torch.bool)
    out, _ = fias(*ramp(3, 5), atten_mask=mask, pre_tokens=0, next_tokens=1)
    assert attended(out) == [[0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("given_dtype", "precise", "score"),
    [(torch.float16, 1, -65504.0), (torch.float16, 0, LOWEST), (torch.bfloat16, 1, LOWEST)],
)
def test_only_high_performance_float16_masks_with_its_own_lowest(
    given_dtype: torch.dtype, precise: int, score: float
) -> None:
    inputs = [normal(1, 1, 4, 4, dtype=given_dtype)] * 3
    mask = torch.ones(4, 4, dtype=torch.bool)
    _, lse = fias(*inputs, atten_mask=mask, sparse_mode=1, inner_precise=precise)
    assert lse.flatten().tolist() == pytest.approx([score + math.log(4)] * 4, rel=1e-7)


def test_a_fully_masked_decoding_row_is_the_mean_of_value_with_lse_near_minus_1e12() -> None:
    out, lse = fias(*ramp(1, 4), atten_mask=torch.ones(1, 1, 1, 4).bool(), actual_seq_lengths_kv=[2])
    assert out.flatten().tolist() == [0.5, 0.5, 0, 0]
    assert lse.item() == pytest.approx(-1e12)
    assert lse.item() > LOWEST


@pytest.mark.parametrize("precise", [0, 1])
def test_a_decoding_row_of_no_actual_keys_is_zero_with_the_lowest_float32(precise: int) -> None:
    out, lse = fias(*ramp(1, 4), actual_seq_lengths_kv=[0], inner_precise=precise)
    assert not out.any()
    assert lse.item() == LOWEST


@pytest.mark.parametrize(("query_length", "weight"), [(1, LOWEST), (3, math.inf)])
def test_a_key_of_zero_length_gives_zero(query_length: int, weight: float) -> None:
    out, lse = fias(normal(1, 1, query_length, 4), torch.empty(1, 1, 0, 4), torch.empty(1, 1, 0, 4))
    assert torch.equal(out, torch.zeros(1, 1, query_length, 4))
    assert lse.flatten().tolist() == [weight] * query_length


@pytest.mark.parametrize("leading", [(), (1,), (2,), (1, 1), (2, 1)])
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int8, torch.uint8])
def test_a_full_mask_has_three_forms_of_any_size(leading: tuple[int, ...], mask_dtype: torch.dtype) -> None:
    mask = torch.ones(*leading, 8, 9).to(mask_dtype)
    mask[..., 1:4:2] = 0
    out, _ = fias(*ramp(3, 5, batch=2), atten_mask=mask)
    assert attended(out) == attended(out[1:]) == [[1, 3]] * 3


def test_each_batch_has_its_own_mask() -> None:
    mask = torch.stack([torch.zeros(2, 3), torch.ones(2, 3).triu(1)]).bool()
    for form in (mask, mask[:, None]):
        out, _ = fias(*ramp(2, 3, batch=2), atten_mask=form, sparse_mode=1)
        assert attended(out) == [[0, 1, 2]] * 2
        assert attended(out[1:]) == [[0], [0, 1]]


@pytest.mark.parametrize("form", [(2, 6), (2, 1, 6), (2, 1, 1, 6)])
def test_a_decoding_mask_is_one_row_per_batch(form: tuple[int, ...]) -> None:
    mask = torch.tensor([[0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]]).bool().reshape(form)
    out, _ = fias(*ramp(1, 4, batch=2), atten_mask=mask)
    assert attended(out) == [[0, 3]]
    assert attended(out[1:]) == [[2, 3]]


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4])
def test_decoding_ignores_the_mode_the_band_and_the_query_lengths(mode: int) -> None:
    ignored: dict[str, Any] = {
        "sparse_mode": mode,
        "pre_tokens": -3,
        "next_tokens": -3,
        "actual_seq_lengths": [0],
    }
    mask = torch.tensor([[0, 0, 1, 0]]).bool()
    assert attended(fias(*ramp(1, 4), **ignored)[0]) == [[0, 1, 2, 3]]
    assert attended(fias(*ramp(1, 4), atten_mask=mask, **ignored)[0]) == [[0, 1, 3]]


@pytest.mark.parametrize("leading", [(), (1,), (1, 1)])
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int8, torch.uint8])
def test_a_compressed_mask_may_have_leading_ones(leading: tuple[int, ...], mask_dtype: torch.dtype) -> None:
    out, _ = fias(*ramp(2, 2), atten_mask=UPPER.to(mask_dtype).reshape(*leading, 2048, 2048), sparse_mode=3)
    assert attended(out) == [[0], [0, 1]]


def test_the_inputs_are_left_as_they_were() -> None:
    given = [normal(1, 1, 3, 4, dtype=torch.float32) for _ in range(3)]
    mask = torch.ones(3, 3, dtype=torch.bool).triu(1)
    before = [tensor.clone() for tensor in (*given, mask)]
    fias(*given, atten_mask=mask, sparse_mode=1)
    assert all(torch.equal(was, now) for was, now in zip(before, (*given, mask), strict=True))
