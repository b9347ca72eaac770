"""ALiBi: logits fall with the distance of key and query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pytest_attn.problem.variants.variant import LINEAR, Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Generator, Tensor

    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.mistake import Change, Mistake
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

    def redrawn(self) -> Alibi:
        """Itself: its slopes are drawn."""
        return self

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """`alibi_slopes` float32 `[Hq]`, 0 to `STEEPEST`; no two heads have the same slope."""
        import torch

        order = torch.randperm(problem.query_heads, generator=generator) + torch.rand((), generator=generator)
        return {"alibi_slopes": (STEEPEST * (order + 0.5) / (problem.query_heads + 1)).float()}

    def change(self, logits: Tensor, tile: Tile, extras: Mapping[str, Tensor]) -> Tensor:
        """logit - slope * |i + Skv - Sq - j|."""
        return _sloped(lambda own: _behind(own).abs())(logits, tile, extras)

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """Distances of another sign, origin or length."""
        from pytest_attn.problem.variants.mistake import Instead, Mistake, instead

        longer = problem.key_length - problem.query_length
        guesses: dict[str, Callable[[Tile], Tensor]] = {
            "logits grow with the distance: ALiBi has the wrong sign": lambda tile: -_behind(tile).abs(),
            "the distance of ALiBi has a sign: a key behind its query is nearer than one beside it": _behind,
            "the distance of ALiBi has a sign: a key before its query is nearer than one beside it": lambda tile: (
                -_behind(tile)
            ),
            "the distance of ALiBi counts from the key before a query's own": lambda tile: (_behind(tile) - 1).abs(),
            "the distance of ALiBi counts from the key after a query's own": lambda tile: (_behind(tile) + 1).abs(),
            "the distance of ALiBi counts query i as standing at key i (top-left)": lambda tile: (
                tile.query - tile.key
            ).abs(),
            "the distance of ALiBi counts to the last key of the tensor, not of the sequence": lambda tile: (
                tile.query + longer - tile.key
            ).abs(),
        }
        for phrase, distance in guesses.items():
            yield Mistake("logits", phrase, instead(problem, self, Instead(_sloped(distance))), inputs)


def _behind(tile: Tile) -> Tensor:
    """How many keys each key lies before a query's own."""
    return tile.query + tile.key_length - tile.query_length - tile.key


def _sloped(distance: Callable[[Tile], Tensor]) -> Change:
    def how(logits: Tensor, tile: Tile, extras: Mapping[str, Tensor]) -> Tensor:
        slope = extras["alibi_slopes"][tile.head].cpu().to(logits.dtype)
        return logits.sub_(distance(tile).to(logits.dtype) * slope)

    return how
