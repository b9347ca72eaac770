"""Results over parts of the keys, merged through their log-sum-exps, with the error that the merged one may have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.judge.budget.budget import Budget, LseBudget, OutBudget
from pytest_attn.kernels.kernel import Output

LEAST_WEIGHT = 1e-30
"""The least weight that the error of a part is multiplied with."""


class Partial(NamedTuple):
    """A result over some of the keys: out `[B, H, Sq, Dv]`, None where not asked for, lse `[B, H, Sq]`, and the error
    that they may have."""

    out: Tensor | None
    lse: Tensor
    error: Budget


def weights_of(every: Tensor) -> tuple[Tensor, Tensor]:
    """(weights `[parts, B, H, Sq, 1]`, lse `[B, H, Sq]`) of the LSEs `[parts, B, H, Sq]`, float64; rows without keys in
    any part have weights of 0."""
    lse = every.double().logsumexp(dim=0)
    return (every.double() - lse.masked_fill(lse.isneginf(), 0.0)).exp().unsqueeze(4), lse


def merged_output(partials: Output) -> Output:
    """The result, float64, of partial results `[splits, B, H, Sq, Dv]` and `[splits, B, H, Sq]`."""
    assert partials.lse is not None
    weights, lse = weights_of(partials.lse)
    return Output((weights * partials.out.double()).sum(dim=0), lse)


def merged(parts: Sequence[Partial]) -> Partial:
    """The result over the keys of all parts, each weighted by its sum of exponentials.

    An lse that is off by e moves out by weight * (out of the part - out) * e.
    """
    weights, lse = weights_of(torch.stack([part.lse for part in parts]))
    # A weight of 0 would leave rows without keys no error at all, and 0 / 0 is NaN.
    least = weights.clamp_min(LEAST_WEIGHT)
    errors = [part.error.weighted(w, w.squeeze(3)) for part, w in zip(parts, least, strict=True)]
    outs = [part.out for part in parts if part.out is not None]
    if not outs:
        return Partial(None, lse, reduce(Budget.plus, errors))
    out = (weights * torch.stack(outs)).sum(dim=0)
    for each, w, part in zip(outs, weights, parts, strict=True):
        assert part.error.lse is not None
        moved = w * (each - out).abs() * part.error.lse.limits(1.0).unsqueeze(3)
        nothing = LseBudget.nothing(lse)
        errors.append(Budget(OutBudget(moved, moved, torch.zeros_like(moved), 0.0), nothing, part.error.repeats))
    return Partial(out, lse, reduce(Budget.plus, errors))
