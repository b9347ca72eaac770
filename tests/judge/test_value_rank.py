"""The effective rank of values."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.judge.budget.value_rank import value_rank


def test_the_rank_of_equal_columns_is_one() -> None:
    assert value_rank(torch.randn(1, 1, 50, 1).expand(-1, -1, -1, 32)).item() == pytest.approx(1.0, rel=1e-3)


def test_the_rank_of_independent_columns_is_their_number() -> None:
    values = torch.randn(2, 3, 20_000, 32, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(value_rank(values), torch.tensor(32.0), rtol=0.01)


def test_the_rank_of_zero_values_is_one() -> None:
    assert value_rank(torch.zeros(1, 1, 50, 32)).item() == 1.0
