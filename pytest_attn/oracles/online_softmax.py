"""Online softmax in base 2: sums over the keys of some rows, whose maximum grows as keys are added.

Milakov and Gimelshein, Online normalizer calculation for softmax, 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LOG2_E = math.log2(math.e)


class OnlineSoftmax:
    """The online softmax of some rows, with w_j = 2^(score_j - maximum); what was summed before a larger maximum is
    multiplied with decay = 2^(maximum before - maximum), or with its square.

    `maximum`, `total` = sum_j w_j, `weight_square` = sum_j w_j^2, `change_square` = sum_j w_j^2 (change of the
    logit)^2, `moved_square` = sum_j w_j^2 (logit before the change times its derivative)^2
    and `key_share`, the weight of the largest key beside a sink, are `[heads, rows]`; `out` = sum_j w_j v_j and
    `value_square` = sum_j w_j^2 v_j^2 are `[heads, rows, Dv]`, of no columns where `value_dim` is None.
    """

    def __init__(self, rows: Sequence[int], value_dim: int | None, dtype: torch.dtype) -> None:
        self.maximum = torch.full(tuple(rows), -math.inf, dtype=dtype)
        self.total = torch.zeros_like(self.maximum)
        self.weight_square = torch.zeros_like(self.maximum)
        self.change_square = torch.zeros_like(self.maximum)
        self.moved_square = torch.zeros_like(self.maximum)
        self.key_share = torch.ones_like(self.maximum)
        shape = (*rows, value_dim or 0)
        self.out = torch.zeros(shape, dtype=dtype)
        self.value_square = torch.zeros(shape, dtype=dtype)

    def add_scores(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Raise the maximum to that of more scores `[heads, rows, keys]`, base 2, and add their weights to the total.

        Returns (weights w `[heads, rows, keys]`, made in place of the scores; decay `[heads, rows]`), for the sums of
        these keys.
        """
        maximum = torch.maximum(self.maximum, scores.amax(dim=-1))
        # A row without any key so far has maximum -inf; 0 keeps exp2(-inf - 0) = 0 instead of NaN.
        shift = torch.where(torch.isneginf(maximum), 0.0, maximum)
        decay = torch.exp2(self.maximum - shift)
        self.maximum = maximum
        weights = scores.sub_(shift.unsqueeze(-1)).exp2_()
        self.total.mul_(decay).add_(weights.sum(dim=-1))
        return weights, decay

    def add_values(self, weights: Tensor, decay: Tensor, value: Tensor) -> None:
        """Add weights @ value to `out`; value is `[heads, keys, Dv]`."""
        self.out.mul_(decay.unsqueeze(-1)).baddbmm_(weights, value)

    def add_change(self, weights: Tensor, decay: Tensor, change: Tensor) -> None:
        """Add sum_j w_j^2 change_j^2 to `change_square`; the change `[heads, rows, keys]` is that of natural logits."""
        self.change_square.mul_(decay.square()).add_((weights * change).square().sum(dim=-1))

    def add_moved(self, weights: Tensor, decay: Tensor, moved: Tensor) -> None:
        """Add sum_j w_j^2 moved_j^2 to `moved_square`; `moved` `[heads, rows, keys]` is x ds/dx, natural."""
        self.moved_square.mul_(decay.square()).add_((weights * moved).square().sum(dim=-1))

    def add_sink(self, logits: Tensor) -> None:
        """Add a logit to each row `[heads, rows]`, in base 2, that has no value."""
        before = self.maximum
        _, decay = self.add_scores(logits.unsqueeze(-1).clone())
        self.key_share = torch.exp2(before - self.maximum)
        self.out.mul_(decay.unsqueeze(-1))
        self.weight_square.mul_(decay.square())
        self.change_square.mul_(decay.square())
        self.moved_square.mul_(decay.square())
        self.value_square.mul_(decay.square().unsqueeze(-1))

    def add_squares(self, weights: Tensor, decay: Tensor, squared: Tensor, squares: Tensor) -> None:
        """Add w^2 to `weight_square` and w^2 @ v^2 to `value_square`; overwrites `weights`.

        `squared`: v^2 `[heads, keys, Dv]`; `squares`: room for w^2 `[heads, rows, keys]` in the dtype of that product.
        """
        weights.square_()
        decay_square = decay.square()
        self.weight_square.mul_(decay_square).add_(weights.sum(dim=-1))
        product = torch.bmm(squares.copy_(weights), squared)
        self.value_square.mul_(decay_square.unsqueeze(-1)).add_(product)

    @property
    def lse(self) -> Tensor:
        """Natural-log log-sum-exp `[heads, rows]`, float64: (maximum + log2(total)) / log2(e)."""
        return (self.maximum.double() + self.total.double().log2()) / LOG2_E

    @property
    def inverse_total(self) -> Tensor:
        """1 / total `[heads, rows]`, 0 for a row without keys."""
        return torch.where(self.total > 0, 1.0 / self.total, 0.0)

    @property
    def peak(self) -> Tensor:
        """The largest probability of a key `[heads, rows]`; the weight of the largest logit is 1, which may be a
        sink's."""
        return self.inverse_total * self.key_share
