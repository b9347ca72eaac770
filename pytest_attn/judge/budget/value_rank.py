"""How many directions the vectors of a sum spread over: errors of its terms lie in no more."""

from __future__ import annotations

from torch import Tensor


def value_rank(value: Tensor) -> Tensor:
    """Effective rank of each head's values `[B, H, S, D]`, each column scaled to unit mean square: `[B, H]`, 1 to D.

    (sum of eigenvalues)^2 / (sum of their squares) of the correlation matrix: 1 where all columns are equal.
    """
    value = value.float()
    norm = value.square().sum(dim=2).sqrt()
    gram = value.transpose(2, 3) @ value / (norm.unsqueeze(2) * norm.unsqueeze(3)).clamp_min(1e-30)
    trace = (norm > 0).sum(dim=2)
    return (trace.square() / gram.square().sum(dim=(2, 3)).clamp_min(1e-30)).clamp_min(1.0)
