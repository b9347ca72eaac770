"""What the naive kernel stores in the dtype of its inputs."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.kernels.builtin.eager import eager
from pytest_attn.kernels.builtin.naive import naive


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_are_stored_in_the_dtype_of_the_inputs(dtype: torch.dtype) -> None:
    query, key, value = torch.randn(3, 1, 1, 40, 16).to(dtype)
    _, lse = naive(query, key, value, scale=1.0, return_lse=True)
    scores = query.float() @ key.float().mT
    assert torch.equal(lse, scores.to(dtype).float().logsumexp(dim=3))
    assert not torch.equal(lse, eager(query, key, value, scale=1.0, return_lse=True)[1])
