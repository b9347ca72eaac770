"""What the FIAS model refuses, each in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fias_calls import UPPER, normal, one_thread

from pytest_attn.oracles.fias.model import fused_infer_attention_score

__all__ = ["one_thread"]


Refusal = tuple[dict[str, Any], str]


def open_mask(*shape: int) -> dict[str, Any]:
    return {"atten_mask": torch.zeros(shape, dtype=torch.bool)}


MASKS: dict[str, Refusal] = {
    "none for mode 1": ({"sparse_mode": 1}, "atten_mask is None, .* a tensor where sparse_mode is 1"),
    "none for mode 3": ({"sparse_mode": 3}, "atten_mask is None, .* a tensor where sparse_mode is 3"),
    "full for mode 3": (open_mask(4, 6) | {"sparse_mode": 3}, r"shape is \(4, 6\), .* \(2048, 2048\)"),
    "2049 x 2049 for mode 4": (open_mask(2049, 2049) | {"sparse_mode": 4}, r"shape is \(2049, 2049\)"),
    "compressed per batch": (
        open_mask(2, 1, 2048, 2048) | {"sparse_mode": 2},
        r"shape is \(2, 1, 2048, 2048\)",
    ),
    "lower triangle": (
        {"sparse_mode": 3, "atten_mask": ~UPPER},
        "atten_mask's contents is something else, .* non-zero strictly above the diagonal",
    ),
    "3 rows": (open_mask(3, 6), "atten_mask's shape .* Q at least 4 and K at least 6"),
    "5 keys": (open_mask(4, 5), "atten_mask's shape .* Q at least 4 and K at least 6"),
    "3 batches": (open_mask(3, 4, 6), "atten_mask's shape .* b 1 or 2"),
    "1 dimension": (open_mask(6), r"atten_mask's shape is \(6,\)"),
    "5 dimensions": (open_mask(1, 1, 1, 4, 6), r"atten_mask's shape is \(1, 1, 1, 4, 6\)"),
    "floats": ({"atten_mask": torch.zeros(4, 6)}, "atten_mask's dtype is torch.float32, .* torch.bool"),
}

MODES: dict[str, Refusal] = {
    "inner_precise 4": ({"inner_precise": 4}, "inner_precise is 4, but must be one of 0, 1, 2, 3"),
    "two negative sides": (
        {"sparse_mode": 4, "atten_mask": UPPER, "pre_tokens": -1, "next_tokens": -1},
        "next_tokens is -1 where pre_tokens is -1, but must be at least -pre_tokens",
    ),
    "no diagonal": (
        open_mask(4, 6) | {"pre_tokens": 2, "next_tokens": -3},
        "next_tokens is -3 where pre_tokens is 2, but must be at least -pre_tokens",
    ),
}

SHAPES: dict[str, Refusal] = {
    "TND": ({"input_layout": "TND"}, "input_layout is 'TND', but must be one of BNSD, BSND, BSH"),
    "BSH of 4 dimensions": ({"input_layout": "BSH"}, "query's shape is .* of 3 dimensions, as BSH says"),
    "BNSD as BSND": ({"input_layout": "BSND", "num_heads": 2}, "query's shape .* BSND with 2 heads"),
    "no heads": ({"num_heads": 0}, "num_heads is 0, but must be at least 1"),
    "3 key heads for 4": ({"num_key_value_heads": 3}, "heads is 3, .* a divisor of num_heads, 4"),
    "-2 key heads": ({"num_key_value_heads": -2}, "num_key_value_heads is -2, .* a divisor of num_heads"),
    "a group of 65": ({"num_heads": 130}, "num_key_value_heads is 2, .* at least num_heads / 64"),
    "8 heads of 4": ({"num_heads": 8}, "query's shape .* BNSD with 8 heads"),
    "4 key heads of 2": ({"num_key_value_heads": 4}, "key's shape .* BNSD with 4 heads"),
    "no lengths": ({"actual_seq_lengths": []}, "length of actual_seq_lengths is 0, .* batch size, 2"),
    "a query length of 5": ({"actual_seq_lengths": [5]}, r"lengths is \[5\], .* from 0 to 4"),
    "a key length of 7": ({"actual_seq_lengths_kv": [1, 7]}, r"lengths_kv is \[1, 7\], .* from 0 to 6"),
    "a key length of -1": ({"actual_seq_lengths_kv": [-1]}, r"lengths_kv is \[-1\], .* from 0 to 6"),
}

TENSORS: dict[str, Refusal] = {
    "int8": ({"query": torch.zeros(2, 4, 4, 8, dtype=torch.int8)}, "query's dtype is torch.int8"),
    "key dtype": ({"key": normal(2, 2, 6, 8).half()}, "key's dtype is torch.float16, .* query's"),
    "value dtype": ({"value": normal(2, 2, 6, 8).half()}, "value's dtype is torch.float16, .* query's"),
    "key D": ({"key": normal(2, 2, 6, 4)}, "key's head dimension D is 4, but must be query's, 8"),
    "key batch": ({"key": normal(3, 2, 6, 8)}, "key's batch size is 3, but must be query's, 2"),
    "value batch": ({"value": normal(1, 2, 6, 8)}, "value's batch size is 1, but must be key's, 2"),
    "value length": ({"value": normal(2, 2, 5, 8)}, "value's length is 5, but must be key's, 6"),
    "value heads": ({"value": normal(2, 4, 6, 8)}, "value's shape .* BNSD with 2 heads"),
}

DECODING: dict[str, Refusal] = {
    "compressed": (open_mask(2048, 2048) | {"sparse_mode": 3}, r"\(2048, 2048\), .* query length is 1"),
    "one for two batches": (open_mask(1, 6), r"atten_mask's shape is \(1, 6\), .* \(2, K\)"),
    "4 rows": (open_mask(2, 4, 6), r"atten_mask's shape is \(2, 4, 6\)"),
    "5 keys": (open_mask(2, 5), r"atten_mask's shape is \(2, 5\), .* K at least 6"),
    "per head": (open_mask(2, 4, 1, 6), r"atten_mask's shape is \(2, 4, 1, 6\)"),
    "corrected": ({"inner_precise": 2}, "inner_precise is 2, but must be 0 or 1 where the query length is 1"),
}


def refuse(query_length: int, refusal: Refusal) -> None:
    """Asserts that a call is fine, and refused in one sentence of these words with these arguments put in."""
    arguments, words = refusal
    tensors = {"query": normal(2, 4, query_length, 8), "key": normal(2, 2, 6, 8), "value": normal(2, 2, 6, 8)}
    fine: dict[str, Any] = tensors | {"num_heads": 4, "num_key_value_heads": 2, "input_layout": "BNSD"}
    fused_infer_attention_score(**fine)
    with pytest.raises(ValueError, match=words) as refused:
        fused_infer_attention_score(**(fine | arguments))
    assert str(refused.value).count(", but must be ") == 1


@pytest.mark.parametrize("refusal", MASKS.values(), ids=MASKS)
def test_a_wrong_mask_is_refused(refusal: Refusal) -> None:
    refuse(4, refusal)


@pytest.mark.parametrize("mode", [0, 1])
def test_a_per_head_mask_is_refused(mode: int) -> None:
    per_head = open_mask(2, 4, 4, 6) | {"sparse_mode": mode}
    refuse(4, (per_head, "atten_mask's head dimension is 4, but must be 1"))


@pytest.mark.parametrize("mode", [-1, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("query_length", [1, 4])
def test_a_mode_beyond_4_is_refused(query_length: int, mode: int) -> None:
    refuse(query_length, ({"sparse_mode": mode}, f"sparse_mode is {mode}, but must be one of 0, 1, 2, 3, 4"))


@pytest.mark.parametrize("refusal", MODES.values(), ids=MODES)
def test_a_wrong_band_or_precision_is_refused(refusal: Refusal) -> None:
    refuse(4, refusal)


@pytest.mark.parametrize("refusal", SHAPES.values(), ids=SHAPES)
def test_a_layout_heads_or_lengths_that_disagree_with_the_shapes_are_refused(refusal: Refusal) -> None:
    refuse(4, refusal)


@pytest.mark.parametrize("refusal", TENSORS.values(), ids=TENSORS)
def test_tensors_that_disagree_with_each_other_are_refused(refusal: Refusal) -> None:
    refuse(4, refusal)


@pytest.mark.parametrize("refusal", DECODING.values(), ids=DECODING)
def test_what_a_single_query_cannot_take_is_refused(refusal: Refusal) -> None:
    refuse(1, refusal)


def test_a_flat_layout_that_its_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"query's shape is \(1, 2, 10\), but must be BSH with 4 heads"):
        fused_infer_attention_score(*[normal(1, 2, 10)] * 3, num_heads=4)
