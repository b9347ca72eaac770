"""Attention sinks: a logit of each head that takes weight and has no value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pytest_attn.problem.variants.variant import LINEAR, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Generator, Tensor

    from pytest_attn.problem.problem import Problem


@dataclass(frozen=True)
class Sinks(Variant):
    """exp(sinks[h]) is added to the sum of exponentials of every row of query head h, and so to its log-sum-exp. A row
    without keys has its sink alone: out 0, LSE sinks[h].

    Keyword `sinks`, float32 `[Hq]` (gpt-oss): a natural logit, neither scaled nor changed as those of keys are.
    """

    capability: ClassVar = "sinks"
    pattern: ClassVar = r"sinks"
    absent: ClassVar = {"sinks": None}
    keeps: ClassVar = LINEAR | {"permutedkeys", "lastrow"}

    @property
    def token(self) -> str:
        """`sinks`: the logits are drawn."""
        return "sinks"

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """See `Variant.draw`. Near the log-sum-exp of small logits, so that a sink takes about half of a row."""
        import torch

        return {"sinks": torch.randn(problem.query_heads, generator=generator) + math.log(problem.key_length)}

    def sink(self, extras: Mapping[str, Tensor]) -> Tensor:
        """See `Variant.sink`."""
        return extras["sinks"]
