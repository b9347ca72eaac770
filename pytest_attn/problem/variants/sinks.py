"""Attention sinks: a logit of each head that takes weight and has no value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pytest_attn.problem.variants.variant import LINEAR, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Generator, Tensor

    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.mistake import Mistake

SPLITS = range(2, 9)
"""Numbers of splits of the keys, each of which may count the sink once more."""


@dataclass(frozen=True)
class Sinks(Variant):
    """exp(sinks[h]) is added to the sum of exponentials of every row of query head h, and so to its log-sum-exp. A row
    without keys has its sink alone: out 0, LSE sinks[h].

    Keyword `sinks`, float32 `[Hq]` (gpt-oss): a natural logit, neither scaled nor changed as those of keys are.
    """

    capability: ClassVar = "sinks"
    pattern: ClassVar = r"sinks"
    absent: ClassVar = {"sinks": None}
    kind: ClassVar = "sink"
    keeps: ClassVar = LINEAR | {"permutedkeys", "lastrow"}

    @property
    def token(self) -> str:
        """`sinks`: the logits are drawn."""
        return "sinks"

    def redrawn(self) -> Sinks:
        """Itself: its logits are drawn."""
        return self

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """`sinks` float32 `[Hq]`, near the log-sum-exp of small logits, so that a sink takes about half of a row."""
        import torch

        return {"sinks": torch.randn(problem.query_heads, generator=generator) + math.log(problem.key_length)}

    def sink(self, extras: Mapping[str, Tensor]) -> Tensor:
        """`sinks` itself, `[Hq]`."""
        return extras["sinks"]

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """A sink that is missing in one result, misread, counted more than once, or has a value."""
        from pytest_attn.problem.variants.mistake import Mistake, with_extra, without

        alone = without(problem, self)
        yield Mistake("sink", "the sink takes weight from the output and is not in the LSE", problem, inputs, alone)
        yield Mistake("sink", "the sink is in the LSE and takes no weight from the output", alone, inputs, problem)
        sinks = inputs.extras["sinks"]
        guesses = {
            "the sink itself is added to the sum of exponentials, not its exponential": sinks.clamp_min(0.0).log(),
            "the sink is taken for an exponent of 2": sinks * math.log(2),
            "the sink is multiplied with log2(e) once too often": sinks / math.log(2),
            "the sink has the wrong sign": -sinks,
        }
        guesses |= {f"the sink counts {times} times, as of {times} splits": sinks + math.log(times) for times in SPLITS}
        logits = sinks.cpu().double().view(1, -1, 1)
        keyless = problem.mask.empty_rows(problem.lengths).expand(problem.lse_shape)

        def with_ones(out: Tensor | None, lse: Tensor) -> tuple[Tensor | None, Tensor]:
            return None if out is None else out + (logits - lse).exp().unsqueeze(3), lse

        def beside_keys(out: Tensor | None, lse: Tensor) -> tuple[Tensor | None, Tensor]:
            return out, lse.masked_fill(keyless, -math.inf)

        yield Mistake("sink", "the sink has a value of ones", problem, inputs, amend=with_ones)
        yield Mistake("sink", "rows without keys have no sink", problem, inputs, amend=beside_keys)
        for phrase, other in guesses.items():
            yield Mistake("sink", phrase, problem, with_extra(inputs, "sinks", other))
