"""What of a batch each of its sequences is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_attn.kernels.builtin.sequences import each_sequence
from pytest_attn.problem.block_mask import BlockMask

LENGTHS = torch.tensor([5, 0, 3], dtype=torch.int32)
QUERY, KEY = torch.randn(3, 2, 4, 8), torch.randn(3, 2, 5, 8)

Call = tuple[tuple[int, ...], dict[str, Any]]


def calls_of(**keywords: Any) -> list[Call]:
    """Shape of the keys and further keywords, call by call."""
    calls: list[Call] = []

    def attend(query: Tensor, key: Tensor, value: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
        calls.append((tuple(key.shape), changes))
        return torch.zeros_like(query), torch.zeros(query.shape[:3])

    each_sequence(attend, QUERY, KEY, KEY, **keywords)
    return calls


def test_sequences_of_one_length_are_attended_to_at_once() -> None:
    assert calls_of(causal=True) == [((3, 2, 5, 8), {"causal": True})]


def test_each_sequence_is_cut_to_its_own_length() -> None:
    assert [shape for shape, _ in calls_of(seqused_k=LENGTHS)] == [(1, 2, 5, 8), (1, 2, 0, 8), (1, 2, 3, 8)]


def test_each_sequence_has_its_own_part_of_a_bias() -> None:
    bias = torch.randn(3, 1, 4, 5)
    own = [changes["attn_bias"] for _, changes in calls_of(seqused_k=LENGTHS, attn_bias=bias)]
    assert all(torch.equal(own[batch], bias[batch, None, ..., :length]) for batch, length in enumerate(LENGTHS))
    shared = [changes["attn_bias"] for _, changes in calls_of(seqused_k=LENGTHS, attn_bias=bias[:1])]
    assert torch.equal(shared[2], bias[:1, ..., :3])


def test_each_sequence_has_its_own_part_of_a_block_mask() -> None:
    mask = BlockMask(torch.rand(3, 2, 2, 3) < 0.5, (2, 2), 4, 5)
    own = [changes["block_mask"] for _, changes in calls_of(seqused_k=LENGTHS, block_mask=mask)]
    for batch, length in enumerate(LENGTHS):
        assert torch.equal(own[batch].token_mask(), mask.token_mask()[batch, None, ..., :length])


def test_the_sequences_of_partial_results_stand_behind_their_splits() -> None:
    def attend(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(7, *query.shape), torch.zeros(7, *query.shape[:3])

    out, lse = each_sequence(attend, QUERY, KEY, KEY, seqused_k=LENGTHS)
    assert (out.shape, lse.shape) == ((7, 3, 2, 4, 8), (7, 3, 2, 4))
