"""Which keys the sliding-window kernel visits."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.kernels.builtin.eager import eager
from pytest_attn.kernels.builtin.sliding_window import sliding_window


def test_tiles_that_no_window_of_a_query_tile_reaches_are_not_touched() -> None:
    """Queries 64 to 127 see keys 48 to 127, which lie in tiles 1 to 3 of 32 keys."""
    query, key, value = torch.randn(3, 1, 1, 192, 8)
    key[..., :32, :] = value[..., :32, :] = torch.nan
    key[..., 128:, :] = value[..., 128:, :] = torch.nan
    out = sliding_window(query, key, value, scale=1.0, window_size=(16, 0), tile=(64, 32))
    assert bool(out[..., 64:128, :].isfinite().all())
    assert bool(out[..., :64, :].isnan().all())
    assert bool(out[..., 128:, :].isnan().all())


@pytest.mark.parametrize("causal", [False, True], ids=["both-sides", "causal"])
@pytest.mark.parametrize("window", [(0, 0), (5, 3), (40, 70), (-1, 2), (2, -1), (500, 500)], ids=str)
@pytest.mark.parametrize("lengths", [(1, 150), (70, 150), (150, 70)], ids=str)
def test_any_window_at_any_tile_is_right(lengths: tuple[int, int], window: tuple[int, int], causal: bool) -> None:
    torch.manual_seed(1)
    query = torch.randn(2, 4, lengths[0], 16)
    key, value = torch.randn(2, 2, 2, lengths[1], 16)
    keywords = {"scale": 0.25, "causal": causal, "window_size": window, "return_lse": True}
    found = sliding_window(query, key, value, tile=(24, 32), **keywords)
    for tensor, expected in zip(found, eager(query, key, value, **keywords), strict=True):
        torch.testing.assert_close(tensor, expected)
