"""Key lengths of each batch: a padded batch of sequences of unequal length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pytest_attn.problem.variants.variant import Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Generator, Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.kinds import Kind
    from pytest_attn.problem.masks import Lengths
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.mistake import Mistake

TILE = 64
"""Keys of a tile, or a divisor of them, in most kernels."""


def ragged_lengths(batch: int, longest: int, *, turned: bool = False) -> tuple[int, ...]:
    """Lengths of the sequences of a batch: the longest, 1, 0, a tile and one beside it, as far as there is room, then
    two thirds and one third of the longest; those of a batch of one are two thirds of it.

    `turned`: each batch has the length of the next; a batch of one has one third of the longest.
    """
    if batch == 1:
        return (max(1, (1 if turned else 2) * longest // 3),)
    tile = next((size for size in (2 * TILE, TILE, TILE // 4, 2) if size < longest), 1)
    marks = [longest, 1, 0, tile, tile + 1, tile - 1, 2 * longest // 3, longest // 3]
    lengths = tuple(min(marks[index % len(marks)], longest) for index in range(batch))
    return lengths[1:] + lengths[:1] if turned else lengths


@dataclass(frozen=True)
class KeyLengths(Variant):
    """Batch b has the first `seqused_k[b]` keys; what follows is padding. Causal masks and windows end at its last key,
    and a batch of no keys has rows without keys only.

    Keyword `seqused_k`, int32 `[B]`: that of flash-attention.
    """

    capability: ClassVar = "seqused_k"
    pattern: ClassVar = r"ragged(turned)?"
    absent: ClassVar = {"seqused_k": None}
    differentiable: ClassVar = True
    kind: ClassVar = "leaked keys"

    turned: bool = False

    @property
    def token(self) -> str:
        """`ragged`: the lengths follow from batch and longest; `raggedturned` where each batch has that of the next."""
        return "ragged" + "turned" * self.turned

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> KeyLengths:
        """From "turned" or None."""
        return cls(groups[0] is not None)

    def redrawn(self) -> KeyLengths:
        """Each sequence has the length of the next."""
        return KeyLengths(not self.turned)

    def hides(self, case: Case) -> bool:
        """Whether some sequence has fewer keys than there is room for."""
        return any(key < case.key_length for _, key in self.lengths(case))

    def lengths(self, case: Case) -> tuple[tuple[int, int], ...]:
        """All queries and a ragged number of keys in each batch."""
        return tuple(
            (case.query_length, key) for key in ragged_lengths(case.batch, case.key_length, turned=self.turned)
        )

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """`seqused_k` int32 `[B]`: the number of keys of each batch."""
        import torch

        lengths = [problem.lengths_of(batch).key for batch in range(problem.batch)]
        return {"seqused_k": torch.tensor(lengths, dtype=torch.int32)}

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """Other numbers of keys, and a diagonal that ends beside the last key."""
        yield from length_mistakes(self, problem, inputs)


def length_mistakes(
    variant: Variant, problem: Problem, inputs: Inputs, page: int = 1, most: int | None = None
) -> Iterator[Mistake]:
    """Wrong numbers of keys, at most `most`, all by default, and a causal diagonal that ends elsewhere than at the
    last."""
    from pytest_attn.problem.masks import Causal, Pairs, parts
    from pytest_attn.problem.variants.mistake import Instead, Mistake, instead

    room = problem.key_length if most is None else most
    own = [problem.lengths_of(batch) for batch in range(problem.batch)]
    guesses: list[tuple[Kind, str, Callable[[int], int]]] = [
        ("empty rows", "a sequence without keys is taken to have one", lambda keys: max(keys, 1)),
        ("tail", "sequences have 1 key too many: padding is attended to", lambda keys: keys + 1),
        ("tail", "the last key of each sequence is left out", lambda keys: keys - 1),
        ("tail", "every sequence has as many keys as the first", lambda keys: own[0].key),
        ("tail", f"the last page of {page} keys is attended to whole", lambda keys: -(-keys // page) * page),
        ("leaked keys", "padding is attended to: key lengths are ignored", lambda keys: room),
    ]
    for tile in (128, 64, 32, 16):
        whole = f"sequences are rounded up to whole tiles of {tile} keys: padding is attended to"
        guesses.append(("tail", whole, lambda keys, tile=tile: -(-keys // tile) * tile))  # type: ignore[misc]
    for kind, phrase, longer in guesses:
        keys = tuple((each.query, min(max(longer(each.key), 0), room)) for each in own)
        yield Mistake(kind, phrase, instead(problem, variant, Instead(sequences=keys)), inputs)
    behind = room - problem.query_length

    def diagonal(query: Tensor, key: Tensor, lengths: Lengths) -> Tensor:
        return key <= query + behind

    masks = [Pairs("room", diagonal) if isinstance(part, Causal) else part for part in parts(problem.mask)]
    end = "the causal diagonal ends at the last key that there is room for, not of the sequence"
    yield Mistake("causal diagonal", end, problem.masked(masks), inputs)
