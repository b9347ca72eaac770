"""Attention sinks: what has a logit and no value."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import Part
from pytest_attn.selfcheck.mutants.variant_loop import VariantLoop


@plant("sink")
class SinkForgotten(VariantLoop):
    """The sink takes no weight."""

    def with_sink(self, part: Part, sink: Tensor) -> Part:
        return part


@plant("sink")
class SinkInNumerator(VariantLoop):
    """The sink has a value of ones."""

    def with_sink(self, part: Part, sink: Tensor) -> Part:
        return self.merge([part, Part(torch.ones_like(part.out), sink)])


@plant("sink")
class SinkNotInLse(VariantLoop):
    """The sink takes weight, and the LSE is that of the keys alone (flash-attention 2f78d484)."""

    def with_sink(self, part: Part, sink: Tensor) -> Part:
        return super().with_sink(part, sink)._replace(lse=part.lse)


@plant("sink")
class SinkInLseAlone(VariantLoop):
    """The sink is in the LSE and takes no weight from the output."""

    def with_sink(self, part: Part, sink: Tensor) -> Part:
        return super().with_sink(part, sink)._replace(out=part.out)


@plant("sink")
class SinkOnlyBesideKeys(VariantLoop):
    """A row without keys has no sink either: its LSE is -inf."""

    def with_sink(self, part: Part, sink: Tensor) -> Part:
        return super().with_sink(part, sink.masked_fill(part.lse.isneginf(), -torch.inf))


@plant("sink")
class SinkNotExponentiated(VariantLoop):
    """The sink itself is added to the sum of exponentials (flash-attention e81c237e)."""

    def sink(self, problem: Problem, sinks: Tensor, lane: Lane) -> Tensor:
        return super().sink(problem, sinks, lane).clamp_min(0.0).log()


@plant("sink")
class SinkScaled(VariantLoop):
    """The sink is scaled as the logits of keys are."""

    def sink(self, problem: Problem, sinks: Tensor, lane: Lane) -> Tensor:
        return super().sink(problem, sinks, lane) * problem.scale


@plant("sink")
class SinkInBaseTwo(VariantLoop):
    """The sink is taken for the exponent of 2."""

    def sink(self, problem: Problem, sinks: Tensor, lane: Lane) -> Tensor:
        return super().sink(problem, sinks, lane) * math.log(2)


@plant("sink")
class SinkOfEverySplit(VariantLoop):
    """Every split of the keys adds the sink once more."""

    def sink(self, problem: Problem, sinks: Tensor, lane: Lane) -> Tensor:
        return super().sink(problem, sinks, lane) + math.log(self.split_count)


@plant("head mapping")
class SinkOfNextHead(VariantLoop):
    """Each head has the sink of the next."""

    def sink(self, problem: Problem, sinks: Tensor, lane: Lane) -> Tensor:
        return super().sink(problem, sinks.roll(-1), lane)


@plant("head mapping")
class SinkOfKeyHead(VariantLoop):
    """Each head has the sink that stands at the number of its key head."""

    def sink(self, problem: Problem, sinks: Tensor, lane: Lane) -> Tensor:
        return sinks[self.key_heads(problem, lane)][:, None, None]
