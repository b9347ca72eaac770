"""The causal mask as kernels use it: the last key of each query."""

from __future__ import annotations

import torch
from torch import Tensor


def last_keys(query: Tensor, key: Tensor, causal: bool, causal_top_left: bool) -> Tensor:
    """int64 `[Sq]`, ascending: the last key that each query may attend to; below 0 where it may attend to none."""
    queries, keys = query.shape[2], key.shape[2]
    if not (causal or causal_top_left):
        return torch.full((queries,), keys - 1, device=query.device)
    return torch.arange(queries, device=query.device) + (0 if causal_top_left else keys - queries)
