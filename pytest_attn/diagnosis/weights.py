"""How much weight a kernel gives to keys, read from its output for values that name them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn.diagnosis.model import Model
from pytest_attn.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Weights:
    """How much weight each run of `width` keys took in each row: actual and expected `[B, H, R, ceil(S / width)]`.

    `counts`: keys of each run that the row may attend to; `resolution`: relative error of what was read, which went
    through the output's dtype.
    """

    actual: Tensor
    expected: Tensor
    counts: Tensor
    width: int
    resolution: float

    @staticmethod
    def of(problem: Problem, actual: Tensor, model: Model, width: int) -> Weights:
        """The weights of a run on coded values, beside those of the correct computation."""
        actual = actual[..., : -(-problem.key_length // width)].to(problem.oracle_dtype)
        counts = by_run(model.allowed.to(actual.dtype), width)
        return Weights(actual, by_run(model.weights, width), counts, width, torch.finfo(problem.dtype).eps)


def by_run(per_key: Tensor, width: int) -> Tensor:
    """Sums over runs of `width` keys: `[B, H, R, S]` to `[B, H, R, ceil(S / width)]`."""
    missing = -per_key.shape[3] % width
    padded = torch.nn.functional.pad(per_key, (0, missing))
    return padded.view(*per_key.shape[:3], -1, width).sum(dim=4)


def coded_values(problem: Problem, width: int) -> Iterator[Tensor]:
    """Values `[S, Dv]` with a 1 in the column of their run of `width` keys, as many as it takes to name every run."""
    code = torch.arange(problem.key_length) // width
    for first in range(0, -(-problem.key_length // width), problem.value_dim):
        yield (code.unsqueeze(1) == torch.arange(problem.value_dim) + first).to(problem.dtype)
