"""Capped logits: no logit is larger than the cap."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_attn.problem.spelling import NUMBER, number_from_id, number_to_id
from pytest_attn.problem.variants.variant import LINEAR, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.mistake import Change, Mistake
    from pytest_attn.problem.variants.variant import Tile

TILES = (64, 32, 128)
"""Queries and keys of a tile."""


@dataclass(frozen=True)
class Softcap(Variant):
    """Logits are cap * tanh(scale q k / cap), before every other change and before masks.

    Keyword `softcap`, 0.0 = none: that of flash-attention (Gemma 2).
    """

    capability: ClassVar = "softcap"
    pattern: ClassVar = rf"softcap({NUMBER})"
    absent: ClassVar = {"softcap": 0.0}
    keeps: ClassVar = LINEAR | {"permutedkeys", "duplicatedkeys", "splitkeys", "lastrow"}
    changes_logits: ClassVar = True
    functions: ClassVar = ("tanh",)

    cap: float = 30.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cap) and self.cap > 0):
            raise ValueError(f"case: softcap is {self.cap}; allowed: a positive number")
        object.__setattr__(self, "cap", float(self.cap))

    @property
    def token(self) -> str:
        """`softcap30`."""
        return "softcap" + number_to_id(self.cap)

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> Softcap:
        """See `Variant.of_token`."""
        return cls(number_from_id(groups[0]))

    def change(self, logits: Tensor, tile: Tile, extras: Mapping[str, Tensor]) -> Tensor:
        """See `Variant.change`."""
        return (logits / self.cap).tanh() * self.cap

    def keywords(self, problem: Problem, extras: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Variant.keywords`."""
        return {"softcap": self.cap}

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """See `Variant.mistakes`."""
        from pytest_attn.problem.variants.mistake import Instead, Mistake, instead

        cap, scale = self.cap, problem.scale or 1.0
        guesses: dict[str, Change] = {
            "logits are capped twice": lambda logits, *_: cap * (cap * (logits / cap).tanh() / cap).tanh(),
            "the tangent of capped logits is not multiplied with the cap": lambda logits, *_: (logits / cap).tanh(),
            "logits are capped before they are scaled": lambda x, *_: scale * cap * (x / scale / cap).tanh(),
            "logits are cut off at the cap": lambda logits, *_: logits.clamp(-cap, cap),
        }
        for phrase, how in guesses.items():
            yield Mistake("logits", phrase, instead(problem, self, Instead(how)), inputs)
        yield Mistake("logits", "capped logits are not scaled", replace(problem, scale=1.0), inputs)
        exchanged = replace(problem, variants=(*(each for each in problem.variants if each is not self), self))
        yield Mistake("logits", "logits are capped after all other changes", exchanged, inputs)
        for tile in TILES:
            yield Mistake(
                "logits",
                f"logits are capped after they are masked, in tiles of {tile}: hidden keys have the logit -cap",
                self._after_mask(problem, tile),
                inputs,
            )

    def _after_mask(self, problem: Problem, tile: int) -> Problem:
        """Every key of a tile that some row of it sees takes part, with the logit -cap where it is hidden."""
        import torch

        from pytest_attn.problem.masks import Pairs
        from pytest_attn.problem.variants.mistake import Instead, instead

        def allowed(batch: int, head: int) -> Tensor:
            rows, keys = range(problem.query_length), range(problem.key_length)
            return problem.mask.allowed(problem.lengths, batch, head, rows, keys)

        def how(logits: Tensor, at: Tile, extras: Mapping[str, Tensor]) -> Tensor:
            capped = (logits / self.cap).tanh() * self.cap
            return capped.where(allowed(at.batch, at.head)[at.query.flatten()][:, at.key], -self.cap)

        def visited(query: Tensor, key: Tensor, lengths: object) -> Tensor:
            seen = allowed(0, 0)
            padded = torch.nn.functional.pad(seen, (0, -seen.shape[1] % tile, 0, -seen.shape[0] % tile))
            tiles = padded.view(padded.shape[0] // tile, tile, padded.shape[1] // tile, tile).any(dim=3).any(dim=1)
            return tiles[query.flatten() // tile][:, key // tile]

        other = instead(problem, self, Instead(how))
        return replace(other, mask=Pairs(f"capped-tiles-{tile}", visited))
