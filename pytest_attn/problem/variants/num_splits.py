"""Split-KV with its partial results: the keys of a sequence are split, and each split gives an output and an LSE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from pytest_attn.problem.relations import Relation
from pytest_attn.problem.variants.variant import Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.problem import Problem


@dataclass(frozen=True)
class NumSplits(Variant):
    """The kernel returns the attention to the keys of each split alone, normalised, and its log-sum-exp; a split
    without keys has out 0 and LSE -inf. Merged, they are the result.

    Keyword `num_splits`, 0 = return the result itself; else out float32 `[num_splits, B, Hq, Sq, Dv]`, LSE float32
    `[num_splits, B, Hq, Sq]`: what `flash_attn_combine` of flash-attention takes. Split c of n has the tiles
    c share to (c + 1) share - 1 of the T tiles of a sequence, share = ceil(T / n), as in its `num_splits`; a kernel
    declares the keys of a tile as `split_tile`.
    """

    capability: ClassVar = "num_splits"
    pattern: ClassVar = r"splits(\d+)"
    absent: ClassVar = {"num_splits": 0}
    keeps: ClassVar = frozenset(get_args(Relation))

    count: int = 2

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"case: num_splits is {self.count}; allowed: 1 or more")

    @property
    def token(self) -> str:
        """`splits4`: the word and the number of splits."""
        return f"splits{self.count}"

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> NumSplits:
        """From the number of splits."""
        return cls(int(groups[0]))

    def redrawn(self) -> NumSplits:
        """One split more."""
        return NumSplits(self.count + 1)

    @property
    def splits(self) -> int:
        """The number of splits, of which a kernel returns partial results."""
        return self.count

    def refuse(self, case: Case) -> None:
        """Parts merge by their LSE; packed results have no place for splits, and a sink belongs to none."""
        if case.ask != "both":
            raise ValueError(f"case: ask is {case.ask!r}; allowed with num_splits: both")
        for variant in case.variants:
            if variant.capability in ("cu_seqlens", "sinks"):
                raise ValueError(f"case: num_splits does not combine with {variant.capability}")

    def keywords(self, problem: Problem, extras: Mapping[str, Tensor]) -> dict[str, Any]:
        """`num_splits`, how many splits a kernel makes of the keys."""
        return {"num_splits": self.count}
