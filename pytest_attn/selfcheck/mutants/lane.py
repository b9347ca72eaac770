"""What a loop over tiles computes together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Lane(NamedTuple):
    """Batches and query heads that are computed together."""

    batches: slice
    heads: slice

    @property
    def query_heads(self) -> Tensor:
        """The numbers of the query heads."""
        return torch.arange(self.heads.start, self.heads.stop)
