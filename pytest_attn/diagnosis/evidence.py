"""What a few extra runs of a wrong kernel show, on the shapes of the case that it failed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pytest_attn.diagnosis.model import MOST_SCORES, Model
from pytest_attn.diagnosis.runs import Runs
from pytest_attn.diagnosis.weights import Weights, coded_values
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Dense, Mask
from pytest_attn.problem.problem import Problem

MOST_RUNS = 64
"""Runs that may be spent on reading every single weight."""

WHOLE_KEYS = 128
"""A number of keys that leaves no tile of up to so many partial."""

FEW_KEYS = 12
GROWING_KEYS = 1280
GROWTH = 5.0
"""How far logits grow over that many keys: by a quarter from one tile of 64 to the next."""


@dataclass(frozen=True, eq=False)
class Evidence(Runs):
    """Runs on values, queries and keys that make a bug visible, each made once and only if asked for."""

    def output_of(self, inputs: Inputs) -> Tensor | None:
        """The output for other inputs of the same shapes, in the rows that are looked at; None where there is none."""
        result = self.run(self.shown, inputs)
        if not isinstance(result, Output):
            return None
        return result.out[:, :, self.rows].to(self.problem.oracle_dtype)

    def output_of_values(self, value: Tensor) -> Tensor | None:
        """The output for other values `[B, Hkv, S, Dv]`, or what expands to it."""
        given = value.to(self.inputs.value).expand_as(self.inputs.value)
        return self.output_of(Inputs(self.inputs.query, self.inputs.key, given, "coded values"))

    @cached_property
    def weights(self) -> Weights | None:
        """The kernel's weights on the case's own queries and keys."""
        return self._weights(self.inputs.query, self.model)

    @cached_property
    def varied_model(self) -> Model:
        """The correct computation with queries that tell keys apart: the case's own, or drawn where those are zero."""
        if bool(self.inputs.query.count_nonzero()):
            return self.model
        query = self._drawn_query[:, :, self.rows.to(self.inputs.query.device)]
        return replace(self.model, query=query.to("cpu", self.problem.oracle_dtype))

    @cached_property
    def varied(self) -> Weights | None:
        """The kernel's weights for the queries of `varied_model`."""
        if self.varied_model is self.model:
            return self.weights
        return self._weights(self._drawn_query, self.varied_model)

    @cached_property
    def _drawn_query(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.subject.seed)
        return torch.randn(self.inputs.query.shape, generator=generator).to(self.inputs.query)

    @property
    def values_tell_keys_apart(self) -> bool:
        """Whether no column of the values is one number: a right output then has right weights."""
        value = self.model.value
        return bool((value != value[:, :, :1]).any(dim=2).all())

    @cached_property
    def weights_are_right(self) -> bool:
        """Whether every weight that could be read is right to a few percent."""
        if self.out_is_right and self.values_tell_keys_apart:
            return True
        weights = self.weights
        if weights is None:
            return True
        slack = 0.05 * weights.expected + 2.0**-8
        return bool(((weights.actual - weights.expected).abs() <= slack).all())

    @cached_property
    def uniform(self) -> Weights | None:
        """The kernel's weights for zero queries: where all is right, each key of a row takes the same."""
        model = replace(self.model, query=torch.zeros_like(self.model.query))
        return self._weights(torch.zeros_like(self.inputs.query), model)

    @cached_property
    def uniform_lse(self) -> Tensor | None:
        """The LSE `[B, H, R]` for zero queries: where all is right, the logarithm of the number of keys."""
        both = replace(self.problem, ask="both")
        if not self.subject.claims(both):
            return None
        inputs = Inputs(torch.zeros_like(self.inputs.query), self.inputs.key, self.inputs.value, "zero queries")
        result = self.run(both, inputs)
        if not isinstance(result, Output) or result.lse is None:
            return None
        return result.lse[:, :, self.rows].to(self.problem.oracle_dtype)

    def stretched(self, keys: int, mask: Mask | None = None) -> Weights | None:
        """The weights for zero queries and another number of keys, without a mask or with another one."""
        return self.of_logits(torch.zeros(keys), mask)

    @cached_property
    def growing(self) -> Weights | None:
        """The weights for logits that grow from one of many tiles to the next, with no mask."""
        return self.of_logits(torch.linspace(0.0, GROWTH, GROWING_KEYS))

    @cached_property
    def few(self) -> Weights | None:
        """The weights for so few keys that they are one tile of one split, with no mask."""
        return self.of_logits(torch.linspace(0.0, 3.0, FEW_KEYS))

    def of_logits(self, logits: Tensor, mask: Mask | None = None) -> Weights | None:
        """The weights for logits `[S]` that are the same in every row; None where the kernel does not claim that."""
        problem = self._of_length(len(logits), mask or Dense())
        if problem is None:
            return None
        width = -(-problem.key_length // problem.value_dim)
        given = _same_logits(problem, logits, next(coded_values(problem, width)), self.inputs.query)
        result = self.run(problem, given)
        if not isinstance(result, Output):
            return None
        rows = self._few_rows(problem)
        return Weights.of(problem, result.out[:, :, rows], Model.of(problem, given, rows), width)

    def lse_of_equal_keys(self, keys: int) -> Tensor | None:
        """The LSE of so many keys of logit 0, without a mask; None where the kernel does not claim that."""
        problem = self._of_length(keys, Dense())
        if problem is None or not self.subject.claims(replace(problem, ask="both")):
            return None
        given = _same_logits(problem, torch.zeros(keys), torch.zeros(keys, problem.value_dim), self.inputs.query)
        result = self.run(replace(problem, ask="both"), given)
        return result.lse if isinstance(result, Output) else None

    def _of_length(self, keys: int, mask: Mask) -> Problem | None:
        """A problem of so many keys, and of as many queries where the kernel wants that; None where it claims
        neither."""
        problem = replace(self.shown, key_length=keys, mask=mask)
        square = replace(problem, query_length=keys)
        return next((each for each in (problem, square) if self.subject.claims(each)), None)

    def _few_rows(self, problem: Problem) -> Tensor:
        pairs = problem.batch * problem.query_heads * problem.key_length
        return torch.arange(0, problem.query_length, 1 + problem.query_length * pairs // MOST_SCORES)

    def _weights(self, query: Tensor, model: Model) -> Weights | None:
        keys, columns = self.problem.key_length, self.problem.value_dim
        windows = -(-keys // columns)
        # Weights are read twice or more, and the time is for other runs as well.
        width = 1 if windows <= MOST_RUNS and self.box.has_room_for(3 * windows) else windows
        read = []
        for value in coded_values(self.problem, width):
            given = Inputs(query, self.inputs.key, value.to(query).expand_as(self.inputs.value), "coded keys")
            out = self.output_of(given)
            if out is None:
                return None
            read.append(out)
        return Weights.of(self.problem, torch.cat(read, dim=3), model, width)


def _same_logits(problem: Problem, logits: Tensor, value: Tensor, like: Tensor) -> Inputs:
    """Inputs with logits `[S]` in every row and values `[S, Dv]` in every head, of dtype and device of `like`."""
    root = abs(problem.scale * problem.head_dim) ** -0.5
    query = torch.full((problem.batch, problem.query_heads, problem.query_length, problem.head_dim), root)
    key = (root * logits).unsqueeze(1).expand(problem.batch, problem.key_heads, len(logits), problem.head_dim)
    values = value.expand(*key.shape[:3], problem.value_dim)
    return Inputs(math.copysign(1.0, problem.scale) * query.to(like), key.to(like), values.to(like), "same logits")
