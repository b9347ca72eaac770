"""Which keys rows see, and what becomes of their logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pytest_attn.kernels.builtin.groups import packed, packed_logits
from pytest_attn.kernels.builtin.logits import Logits
from pytest_attn.problem.block_mask import BlockMask

QUERY = torch.zeros(2, 4, 3, 8)
ALL_ROWS, ALL_KEYS = slice(0, 3), slice(0, 5)


@pytest.mark.parametrize(
    ("keywords", "first", "last"),
    [
        ({}, [0, 0, 0], [4, 4, 4]),
        ({"causal": True}, [0, 0, 0], [2, 3, 4]),
        ({"causal_top_left": True}, [0, 0, 0], [0, 1, 2]),
        ({"window_size": (1, 0)}, [1, 2, 3], [2, 3, 4]),
        ({"window_size": (3, 1)}, [-1, 0, 1], [3, 4, 5]),
        ({"window_size": (3, 1), "causal": True}, [-1, 0, 1], [2, 3, 4]),
        ({"window_size": (-1, 0)}, [0, 0, 0], [2, 3, 4]),
        ({"window_size": (0, -1)}, [2, 3, 4], [4, 4, 4]),
    ],
    ids=str,
)
def test_three_queries_of_five_keys_see(keywords: dict[str, Any], first: list[int], last: list[int]) -> None:
    logits = Logits.of(QUERY, 5, **keywords)
    assert (logits.first.tolist(), logits.last.tolist()) == (first, last)


def test_a_logit_is_capped_then_sloped_then_biased_then_hidden() -> None:
    bias = torch.arange(15.0).view(1, 1, 3, 5)
    slopes = torch.tensor([0.5, 1.0, 2.0, 4.0])
    logits = Logits.of(QUERY, 5, causal=True, softcap=2.0, alibi_slopes=slopes, attn_bias=bias)
    found = logits.changed(torch.full((2, 4, 3, 5), 3.0), ALL_ROWS, ALL_KEYS)
    # Query 1 stands at key 3.
    expected = 2.0 * torch.tensor(1.5).tanh() - slopes * 3 + bias[0, 0, 1, 0]
    torch.testing.assert_close(found[0, :, 1, 0], expected)
    assert found[0, 0, 1].isneginf().tolist() == [False, False, False, False, True]


def test_a_block_mask_hides_the_pairs_of_its_missing_blocks() -> None:
    blocks = torch.rand(2, 4, 2, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    mask = BlockMask(blocks, (2, 2), 3, 5)
    found = Logits.of(QUERY, 5, block_mask=mask).changed(torch.zeros(2, 4, 3, 5), ALL_ROWS, ALL_KEYS)
    assert torch.equal(found.isneginf(), ~mask.token_mask())


@pytest.mark.parametrize("keywords", [{"causal": True}, {"softcap": 2.0}, {"attn_bias": torch.zeros(1, 1, 3, 5)}])
def test_logits_that_change_say_so(keywords: dict[str, Any]) -> None:
    assert not Logits.of(QUERY, 5).changes(5)
    assert Logits.of(QUERY, 5, **keywords).changes(5)


def everything() -> Logits:
    """The logits of four heads with all that a group can have."""
    generator = torch.Generator().manual_seed(1)
    slopes, sinks = torch.rand(2, 4, generator=generator)
    bias = torch.randn(2, 4, 3, 5, generator=generator)
    given: dict[str, Any] = {"window_size": (2, 1), "softcap": 1.0, "alibi_slopes": slopes, "attn_bias": bias}
    return Logits.of(QUERY, 5, sinks=sinks, **given)


def test_any_tile_is_that_of_the_whole_matrix() -> None:
    scores, logits = torch.randn(2, 4, 3, 5), everything()
    whole = logits.changed(scores, ALL_ROWS, ALL_KEYS)
    rows, keys = slice(1, 3), slice(2, 5)
    assert torch.equal(logits.changed(scores[:, :, rows, keys], rows, keys), whole[:, :, rows, keys])
    assert torch.equal(logits.split(2).changed(scores[..., 2:], ALL_ROWS, slice(0, 3)), whole[..., 2:])


def test_a_part_of_the_keys_has_no_sink() -> None:
    assert everything().split(2).sinks is None


@pytest.mark.parametrize("per_head", [True, False])
def test_the_logits_of_a_group_are_those_of_its_heads(per_head: bool) -> None:
    scores, logits = torch.randn(2, 4, 3, 5), everything()
    if not per_head:
        assert logits.bias is not None
        logits = Logits.of(QUERY, 5, window_size=(2, 1), attn_bias=logits.bias[:, :1])
    grouped = packed_logits(logits, 2).changed(packed(scores, 2), slice(0, 6), ALL_KEYS)
    torch.testing.assert_close(grouped, packed(logits.changed(scores, ALL_ROWS, ALL_KEYS), 2))
