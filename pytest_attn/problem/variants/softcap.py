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

TILES = ((64, 64), (128, 64), (64, 128), (128, 128), (32, 32))
"""(queries, keys) of a tile, as kernels have them."""


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
    def saturates(self) -> float:
        """The cap."""
        return self.cap

    @property
    def token(self) -> str:
        """`softcap30`: the word and the cap."""
        return "softcap" + number_to_id(self.cap)

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> Softcap:
        """From the cap as the id spells it."""
        return cls(number_from_id(groups[0]))

    def redrawn(self) -> Softcap:
        """Half of the cap."""
        return Softcap(self.cap / 2)

    def change(self, logits: Tensor, tile: Tile, extras: Mapping[str, Tensor]) -> Tensor:
        """cap * tanh(logit / cap)."""
        return (logits / self.cap).tanh() * self.cap

    def keywords(self, problem: Problem, extras: Mapping[str, Tensor]) -> dict[str, Any]:
        """`softcap`, the cap."""
        return {"softcap": self.cap}

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """Other functions in the place of the tangent, and another order of change, scale and mask."""
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
        exchanged = replace(problem, variants=(*(each for each in problem.variants if each is not self), self))
        yield Mistake("logits", "logits are capped after all other changes", exchanged, inputs)
        if "attn_bias" in inputs.extras:
            return  # has no place for keys beyond the last
        phrase = "logits are capped after they are masked: hidden keys have the logit -cap"
        for rows, keys in TILES:
            yield Mistake("logits", phrase, self._after_mask(problem, rows, keys), _padded(inputs, keys))

    def _after_mask(self, problem: Problem, rows: int, keys: int) -> Problem:
        """Every key of a tile that some row of it sees takes part, with the logit -cap where it is hidden; keys beyond
        the last of the problem fill its tile."""
        import torch

        from pytest_attn.problem.masks import Pairs
        from pytest_attn.problem.variants.mistake import Instead, instead

        def allowed(batch: int, head: int) -> Tensor:
            places = range(problem.query_length), range(problem.key_length)
            seen = problem.mask.allowed(problem.lengths, batch, head, *places)
            return torch.nn.functional.pad(seen, (0, -seen.shape[1] % keys, 0, -seen.shape[0] % rows))

        def how(logits: Tensor, at: Tile, extras: Mapping[str, Tensor]) -> Tensor:
            capped = (logits / self.cap).tanh() * self.cap
            return capped.where(allowed(at.batch, at.head)[at.query.flatten()][:, at.key], -self.cap)

        def visited(query: Tensor, key: Tensor, lengths: object) -> Tensor:
            seen = allowed(0, 0)
            tiles = seen.view(seen.shape[0] // rows, rows, seen.shape[1] // keys, keys).any(dim=3).any(dim=1)
            return tiles[query.flatten() // rows][:, key // keys]

        other = instead(problem, self, Instead(how))
        length = problem.key_length + -problem.key_length % keys
        return replace(other, key_length=length, mask=Pairs(f"capped-tiles-{rows}x{keys}", visited))


def _padded(inputs: Inputs, keys: int) -> Inputs:
    """Inputs with zeros after the last key, up to a whole tile."""
    import torch

    key, value = (
        torch.nn.functional.pad(each, (0, 0, 0, -each.shape[2] % keys)) for each in (inputs.key, inputs.value)
    )
    return replace(inputs, key=key, value=value)
