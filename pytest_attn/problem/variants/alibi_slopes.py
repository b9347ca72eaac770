"""ALiBi: logits fall with the distance of key and query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pytest_attn.problem.variants.variant import LINEAR, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Generator, Tensor

    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.variant import Tile

STEEPEST = 0.3
"""Slopes are drawn below this, as in flash-attention's tests."""


@dataclass(frozen=True)
class Alibi(Variant):
    """-slope[h] * |i + Skv - Sq - j| is added to the logit of query i and key j of query head h, with the lengths of
    the sequence.

    Keyword `alibi_slopes`, float32 `[Hq]`: that of flash-attention.
    """

    capability: ClassVar = "alibi_slopes"
    pattern: ClassVar = r"alibi"
    absent: ClassVar = {"alibi_slopes": None}
    keeps: ClassVar = LINEAR | {"lastrow"}
    changes_logits: ClassVar = True

    @property
    def token(self) -> str:
        """`alibi`: the slopes are drawn."""
        return "alibi"

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """See `Variant.draw`. No two heads have the same slope."""
        import torch

        order = torch.randperm(problem.query_heads, generator=generator) + torch.rand((), generator=generator)
        return {"alibi_slopes": (STEEPEST * (order + 0.5) / (problem.query_heads + 1)).float()}

    def change(self, logits: Tensor, tile: Tile, extras: Mapping[str, Tensor]) -> Tensor:
        """See `Variant.change`."""
        distance = (tile.query + tile.key_length - tile.query_length - tile.key).abs().to(logits.dtype)
        slope = extras["alibi_slopes"][tile.head].cpu().to(logits.dtype)
        return logits.sub_(distance * slope)
