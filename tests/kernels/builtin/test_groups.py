"""Query heads of a group as rows of their key head."""

from __future__ import annotations

import torch

from pytest_attn.kernels.builtin.groups import packed, unpacked
from pytest_attn.kernels.builtin.mqa import mqa
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem


def test_the_queries_of_one_position_become_neighbouring_rows() -> None:
    query = torch.arange(4).view(1, 4, 1, 1) * 10 + torch.arange(3).view(1, 1, 3, 1)
    assert packed(query, 2)[0, :, :, 0].tolist() == [[0, 10, 1, 11, 2, 12], [20, 30, 21, 31, 22, 32]]


def test_unpacking_is_the_way_back() -> None:
    query = torch.randn(2, 6, 5, 4)
    assert torch.equal(unpacked(packed(query, 3), 3), query)
    assert torch.equal(unpacked(packed(query, 3)[..., 0], 3), query[..., 0])


def test_multi_query_attention_takes_one_key_head() -> None:
    why_not = mqa.capabilities.why_not
    assert why_not(Problem.of(Case(8, 8, query_heads=4, key_heads=1)), "cpu") is None
    assert why_not(Problem.of(Case(8, 8, query_heads=4, key_heads=2)), "cpu") == "key_heads 2"
    assert why_not(Problem.of(Case(8, 8, query_heads=2)), "cpu") == "key_heads 2"
