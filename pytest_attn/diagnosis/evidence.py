"""What a few extra runs of a wrong kernel show, on the shapes of the case that it failed."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pytest_attn.checks.buffers import GuardedInputs
from pytest_attn.checks.subject import Subject
from pytest_attn.checks.trial import Trial
from pytest_attn.diagnosis.memory_fill import unwritten_memory
from pytest_attn.diagnosis.model import Model, allowed_pairs, sampled_rows
from pytest_attn.diagnosis.timebox import TimeBox
from pytest_attn.judge.judge import judge
from pytest_attn.judge.verdict import Finding, Verdict
from pytest_attn.kernels.kernel import Output
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.case import Ask, Layout
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Dense, Mask
from pytest_attn.problem.problem import Problem

MOST_RUNS = 64
"""Runs that may be spent on reading every single weight."""

FEW_KEYS = 12
GROWING_KEYS = 1280
GROWTH = 5.0
"""How far logits grow over that many keys: by a quarter from one tile of 64 to the next."""


@dataclass(frozen=True, eq=False)
class Weights:
    """How much weight each run of `width` keys took in each row: actual and expected `[B, H, R, ceil(S / width)]`.

    `counts`: keys of each run that the row may attend to.
    """

    actual: Tensor
    expected: Tensor
    counts: Tensor
    width: int
    resolution: float
    """Relative error of what was read: it went through the output's dtype."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """A kernel that failed a case, what it returns there, and further runs of it, each made once and only if asked
    for."""

    subject: Subject
    verdict: Verdict
    box: TimeBox

    @property
    def problem(self) -> Problem:
        """The problem of the case."""
        return self.subject.problem

    @cached_property
    def shown(self) -> Problem:
        """The problem, with the output asked for where the case asks for the LSE alone."""
        return replace(self.problem, ask="both") if self.problem.ask == "lse" else self.problem

    @property
    def inputs(self) -> Inputs:
        """The inputs of the case."""
        return self.subject.inputs

    def run(
        self,
        problem: Problem,
        inputs: Inputs,
        layout: Layout | None = None,
        around: float = torch.nan,
        unwritten: float = torch.nan,
    ) -> Output | Finding | None:
        """What the kernel returns, on the CPU; None where there is no time left.

        `around` fills the memory beside the inputs, `unwritten` the memory that the kernel allocates or is given.
        """
        if not self.box.has_room_for(1):
            return None
        subject = self.subject
        given = GuardedInputs.of(inputs, layout or subject.layout, subject.seed, around)
        trial = Trial(subject.kernel, problem, given, subject.device, unwritten=unwritten)
        with self.box.run(), nullcontext() if math.isnan(unwritten) else unwritten_memory(unwritten):
            output = trial()
        if isinstance(output, Finding):
            return output
        lse = output.lse if problem.wants_lse else None
        return Output(output.out.detach().cpu().clone(), None if lse is None else lse.detach().cpu().clone())

    @cached_property
    def second(self) -> Output | Finding | None:
        """What the kernel returns when it is run on the case again; the output with it where only the LSE is asked
        for."""
        result = self.run(self.problem, self.inputs)
        if self.problem.wants_out or not isinstance(result, Output):
            return result
        beside = self.run(self.shown, self.inputs)
        return replace(result, out=beside.out) if isinstance(beside, Output) else beside

    @cached_property
    def truth(self) -> Reference:
        """What the case compares with."""
        return self.subject.reference(self.subject.problem, self.inputs)

    def right(self, output: Output | Finding | None) -> bool:
        """Whether a result is right on the case."""
        if not isinstance(output, Output):
            return False
        kernel = self.subject.kernel
        return judge(self.problem, self.inputs, output, self.truth, kernel, self.subject.tolerance).passed

    # The rows that hypotheses are tested on

    @cached_property
    def rows(self) -> Tensor:
        """Rows that are looked at: all of a small problem, of a large one the worst and some that lie evenly."""
        error = torch.zeros(self.problem.lse_shape)
        output = self.second
        if isinstance(output, Output) and self.truth.out is not None:
            error += (output.out - self.truth.out).abs().mean(dim=3) / self.truth.out.abs().mean(dim=3)
        if isinstance(output, Output) and output.lse is not None:
            error += (output.lse - self.truth.lse).abs()
        return sampled_rows(self.problem, error.nan_to_num(0.0, posinf=1e30).clamp_max(1e30).amax(dim=(0, 1)))

    @cached_property
    def model(self) -> Model:
        """The correct computation of those rows."""
        return Model.of(self.problem, self.inputs, self.rows)

    @cached_property
    def sample(self) -> tuple[Problem, Inputs]:
        """The problem of those rows alone, for the judge."""
        query = self.inputs.query[:, :, self.rows.to(self.inputs.query.device)]
        problem = replace(self.shown, query_length=len(self.rows), mask=Dense())
        return problem, Inputs(query, self.inputs.key, self.inputs.value, "sample")

    @cached_property
    def output(self) -> Output | None:
        """The second result in those rows."""
        if not isinstance(self.second, Output):
            return None
        lse = self.second.lse
        return Output(self.second.out[:, :, self.rows], None if lse is None else lse[:, :, self.rows])

    @cached_property
    def out(self) -> Tensor | None:
        """The output in those rows, in the precision of models."""
        return None if self.output is None else self.output.out.to(self.problem.oracle_dtype)

    @cached_property
    def lse(self) -> Tensor | None:
        """The LSE in those rows, in the precision of models."""
        if self.output is None or self.output.lse is None:
            return None
        return self.output.lse.to(self.problem.oracle_dtype)

    def explained_by(self, reference: Reference, ask: Ask | None = None, output: Output | None = None) -> bool:
        """Whether the second result, or another `output`, is within the budget what a hypothesis says it should be."""
        output = output or self.output
        if output is None:
            return False
        problem, inputs = self.sample
        problem = replace(problem, ask=ask or ("both" if output.lse is not None else "out"))
        return judge(problem, inputs, output, reference, self.subject.kernel).passed

    @cached_property
    def out_is_right(self) -> bool:
        """Whether the output is right in those rows; it may have been looked at only now."""
        return self.explained_by(self.model.reference(), "out")

    @cached_property
    def lse_is_right(self) -> bool:
        """Whether the LSE is right in those rows, or not asked for."""
        return not self.problem.wants_lse or self.explained_by(self.model.reference(), "lse")

    # What values make visible

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
        """The kernel's weights on those queries."""
        if self.varied_model is self.model:
            return self.weights
        return self._weights(self._drawn_query, self.varied_model)

    @cached_property
    def _drawn_query(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.subject.seed)
        return torch.randn(self.inputs.query.shape, generator=generator).to(self.inputs.query)

    @cached_property
    def weights_are_right(self) -> bool:
        """Whether every weight that could be read is right to a few percent."""
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

    @property
    def _resolution(self) -> float:
        return torch.finfo(self.problem.dtype).eps

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
        """The weights for logits `[S]` that are the same in every row."""
        keys, own = len(logits), self.shown
        problem = replace(own, key_length=keys, mask=mask or Dense())
        width = -(-keys // problem.value_dim)
        value = torch.nn.functional.one_hot(torch.arange(keys) // width, problem.value_dim)
        root = abs(problem.scale * problem.head_dim) ** -0.5
        shape = (problem.batch, problem.key_heads, keys)
        given = Inputs(
            torch.full_like(self.inputs.query, math.copysign(root, problem.scale)),
            (root * logits).unsqueeze(1).to(self.inputs.key).expand(*shape, problem.head_dim),
            value.to(self.inputs.value).expand(*shape, problem.value_dim),
            "same logits",
        )
        result = self.run(problem, given)
        if not isinstance(result, Output):
            return None
        actual = result.out[:, :, self.rows].to(problem.oracle_dtype)[..., : -(-keys // width)]
        allowed = allowed_pairs(problem, self.rows)
        per_key = (
            logits.to(actual).expand(allowed.shape).masked_fill(~allowed, -torch.inf).softmax(dim=3).nan_to_num(0.0)
        )
        counts = _by_run(allowed.to(actual), width)
        return Weights(actual, _by_run(per_key, width), counts, width, self._resolution)

    def _weights(self, query: Tensor, model: Model) -> Weights | None:
        keys, columns = self.problem.key_length, self.problem.value_dim
        windows = -(-keys // columns)
        width = 1
        if windows > MOST_RUNS or not self.box.has_room_for(windows):
            width, windows = windows, 1
        code = torch.arange(keys) // width
        read = []
        for window in range(windows):
            value = (code.unsqueeze(1) == torch.arange(columns) + window * columns).to(self.inputs.value)
            given = Inputs(query, self.inputs.key, value.expand_as(self.inputs.value), "coded keys")
            out = self.output_of(given)
            if out is None:
                return None
            read.append(out)
        count = -(-keys // width)
        actual = torch.cat(read, dim=3)[..., :count]
        counts = _by_run(model.allowed.to(actual.dtype), width)
        return Weights(actual, _by_run(model.weights, width), counts, width, self._resolution)


def _by_run(per_key: Tensor, width: int) -> Tensor:
    """Sums over runs of `width` keys: `[B, H, R, S]` to `[B, H, R, ceil(S / width)]`."""
    missing = -per_key.shape[3] % width
    return torch.nn.functional.pad(per_key, (0, missing)).unflatten(3, (-1, width)).sum(dim=4)
