"""What a kernel with a given bug would compute: exact attention with every part open to change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

MOST_SCORES = 1 << 21
"""Scores that a model may hold; it computes fewer rows where all would be more."""


@dataclass(frozen=True, eq=False)
class Model:
    """Attention of some rows, one precision above the inputs, a whole row of scores at a time.

    query `[B, H, R, D]`, key `[B, H, S, D]`, value `[B, H, S, Dv]`: one key and value head per query head; allowed bool
    `[B, H, R, S]`.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scale: float
    allowed: Tensor

    @staticmethod
    def of(problem: Problem, inputs: Inputs, rows: Tensor) -> Model:
        """The correct computation of some rows of a problem."""
        dtype = problem.oracle_dtype
        key, value = (t.to("cpu", dtype).repeat_interleave(problem.group, dim=1) for t in (inputs.key, inputs.value))
        query = inputs.query[:, :, rows.to(inputs.query.device)].to("cpu", dtype)
        return Model(query, key, value, problem.scale, allowed_pairs(problem, rows))

    @cached_property
    def scores(self) -> Tensor:
        """Scaled logits `[B, H, R, S]`, -inf where not allowed."""
        return (self.query @ self.key.mT * self.scale).masked_fill(~self.allowed, -torch.inf)

    @cached_property
    def lse(self) -> Tensor:
        """Natural logarithm of the sum of exponentials of the scores, `[B, H, R]`; -inf in rows without keys."""
        return self.scores.logsumexp(dim=3)

    @cached_property
    def maximum(self) -> Tensor:
        """The largest logit of each row `[B, H, R]`."""
        return self.scores.amax(dim=3)

    @cached_property
    def weights(self) -> Tensor:
        """Probabilities `[B, H, R, S]`; zero in rows without keys."""
        return (self.scores - self.lse.masked_fill(self.lse.isneginf(), 0.0).unsqueeze(3)).exp()

    @cached_property
    def out(self) -> Tensor:
        """weights @ value, `[B, H, R, Dv]`; 0 in rows without keys."""
        return self.weights @ self.value

    def reference(self) -> Reference:
        """The reference with out, LSE and moments that a judge compares a result with."""
        return reference_of(self.weights, self.lse, self.value)


def reference_of(weights: Tensor, lse: Tensor, value: Tensor) -> Reference:
    """The reference of weights `[B, H, R, S]` that need not add up to 1."""
    square = weights.square()
    moments = Moments(square.sum(dim=3), weights.amax(dim=3), square @ value.square())
    return Reference("hypothesis", lse, weights @ value, moments)


def allowed_pairs(problem: Problem, rows: Tensor) -> Tensor:
    """bool `[B, H, R, S]`: the keys that each of some rows may attend to."""
    keys = range(problem.key_length)
    runs = [range(0, problem.query_length)]
    if len(rows) < problem.query_length:
        runs = [range(row, row + 1) for row in rows.tolist()]
    step = problem.mask.row_step(problem.lengths)
    runs = [piece for run in runs for piece in _cut(run, step)]
    heads = [
        torch.cat([problem.mask.allowed(problem.lengths, batch, head, run, keys) for run in runs])
        for batch in range(problem.batch)
        for head in range(problem.query_heads)
    ]
    return torch.stack(heads).view(problem.batch, problem.query_heads, len(rows), problem.key_length)


def _cut(run: range, step: int) -> list[range]:
    """A run cut at the multiples of `step`."""
    starts = [run.start, *range((run.start // step + 1) * step, run.stop, step)]
    return [range(start, min(stop, run.stop)) for start, stop in zip(starts, [*starts[1:], run.stop], strict=True)]


def sampled_rows(problem: Problem, error: Tensor) -> Tensor:
    """Rows of which a model's scores fit: all, or the worst by `error` `[Sq]` and as many that lie evenly."""
    pairs = problem.batch * problem.query_heads * problem.key_length
    count = max(MOST_SCORES // pairs, 16)
    if count >= problem.query_length:
        return torch.arange(problem.query_length)
    even = torch.linspace(0, problem.query_length - 1, count // 2).round().long()
    return torch.tensor(sorted({*even.tolist(), *error.topk(count // 2).indices.tolist()}))
