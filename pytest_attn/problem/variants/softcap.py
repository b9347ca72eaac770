"""Capped logits: no logit is larger than the cap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_attn.problem.spelling import NUMBER, number_from_id, number_to_id
from pytest_attn.problem.variants.variant import LINEAR, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.variant import Tile


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
