"""Key lengths of each batch: a padded batch of sequences of unequal length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pytest_attn.problem.variants.variant import Variant

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.problem import Problem

TILE = 64
"""Keys of a tile, or a divisor of them, in most kernels."""


def ragged_lengths(batch: int, longest: int) -> tuple[int, ...]:
    """Lengths of the sequences of a batch: the longest, 1, 0, a tile and one beside it, as far as there is room, then
    two thirds and one third of the longest; those of a batch of one are two thirds of it."""
    if batch == 1:
        return (max(1, 2 * longest // 3),)
    tile = next((size for size in (2 * TILE, TILE, TILE // 4, 2) if size < longest), 1)
    marks = [longest, 1, 0, tile, tile + 1, tile - 1, 2 * longest // 3, longest // 3]
    return tuple(min(marks[index % len(marks)], longest) for index in range(batch))


@dataclass(frozen=True)
class KeyLengths(Variant):
    """Batch b has the first `seqused_k[b]` keys; what follows is padding. Causal masks and windows end at its last key,
    and a batch of no keys has rows without keys only.

    Keyword `seqused_k`, int32 `[B]`: that of flash-attention.
    """

    capability: ClassVar = "seqused_k"
    pattern: ClassVar = r"ragged"
    absent: ClassVar = {"seqused_k": None}
    differentiable: ClassVar = True

    @property
    def token(self) -> str:
        """`ragged`: the lengths follow from batch and longest."""
        return "ragged"

    def hides(self, case: Case) -> bool:
        """See `Variant.hides`."""
        return any(key < case.key_length for _, key in self.lengths(case))

    def lengths(self, case: Case) -> tuple[tuple[int, int], ...]:
        """See `Variant.lengths`."""
        return tuple((case.query_length, key) for key in ragged_lengths(case.batch, case.key_length))

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """See `Variant.draw`."""
        import torch

        lengths = [problem.lengths_of(batch).key for batch in range(problem.batch)]
        return {"seqused_k": torch.tensor(lengths, dtype=torch.int32)}
