"""Partial sums of query . key: what the roundings on the way to a logit are relative to.

A logit s is the sum of D products x_d = scale q_d k_d, and each addition rounds a partial sum S_m of them:

    sum_m S_m^2 = D (s^2 / 3 + R / 6),

of which s^2 / 3 is what a sum that grows evenly comes to, and R the random part. In a random order of the channels R
is X = sum_d x_d^2 in the mean. Kernels add channels in their order, though, and where large ones cancel it matters how
far they lie apart: then R = 6 / D sum_m S_m^2 - 2 s^2, from the partial sums after every block of channels, between
which S runs straight but for the random part of the block. The larger of the two counts.

A row weighs R by p^2, as it does every error of its logits. Where keys are of one size, and no channel is far larger
than the others, all of that is scale^2 sum_d q_d^2 mean_j k_jd^2.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCKS = 8
"""Blocks of channels, at most, after which partial sums are looked at."""

FEWEST = 4
"""Channels of a block, at least."""

OUTLIER = 40.0
"""A number whose square is so many mean squares is no normal one, of however many."""


def channels_differ(query: Tensor, key: Tensor) -> bool:
    """Whether some channel of a head's query `[rows, D]` or key `[keys, D]` is far larger than the others.

    Of normal keys the mean square of a channel stays below 2 + 30 / keys times that of all.
    """
    largest_query, query_square = float(query.square().max()), float(query.square().mean())
    channels = key.square().mean(dim=0)
    few = 2 + 30 / len(key)
    return largest_query > OUTLIER * query_square or float(channels.max()) > few * float(channels.mean())


def keys_differ(key: Tensor) -> bool:
    """Whether some key of a head's `[keys, D]`, or one number in it, is far larger than normal ones are."""
    square = key.square()
    sizes = square.sum(dim=1)
    most = 3 + 8 * (2 / key.shape[1]) ** 0.5
    return float(sizes.max()) > most * float(sizes.mean()) or float(square.max()) > OUTLIER * float(square.mean())


def random_parts(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """(X, R in the order of the channels) of each pair `[rows, keys]` of queries times scale `[rows, D]` and keys
    `[keys, D]`."""
    before = torch.zeros(len(query), len(key), dtype=query.dtype)
    straight, within = torch.zeros_like(before), query.square()
    width = query.shape[1]
    squares = within @ key.square().T
    block = max(FEWEST, -(-width // BLOCKS))
    for start in range(0, width, block):
        own = slice(start, start + block)
        share = query[:, own].shape[1] / width
        after = torch.addmm(before, query[:, own], key[:, own].T)
        # L (S_a^2 + S_a S_b + S_b^2) / 3 times 6 / D; of the random part, L / D.
        straight.add_((before + after).square_().sub_(before.mul_(after)), alpha=2 * share)
        within[:, own] *= share
        before = after
    straight.addmm_(within, key.square().T)
    return squares, straight.sub_(before.square_(), alpha=2)
