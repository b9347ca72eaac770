"""A paged cache: the keys and values of a sequence lie in pages anywhere in a pool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pytest_attn.problem.variants.seqused_k import length_mistakes, ragged_lengths
from pytest_attn.problem.variants.variant import Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Generator, Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.mistake import Mistake

SPARE = 3
"""Pages of the pool that no sequence has."""


@dataclass(frozen=True)
class Paged(Variant):
    """Key j of batch b is row j % page of page block_table[b, j // page], for j < cache_seqlens[b].

    Pages stand in random order; entries of the table that a sequence does not need name a page that no sequence has.
    Key `[pages, page, Hkv, D]`, value `[pages, page, Hkv, Dv]`; keywords `block_table`, int32
    `[B, ceil(Skv / page)]`, and `cache_seqlens`, int32 `[B]`: those of flash_attn_with_kvcache, whose query and out are
    `[B, Hq, Sq, D]` here.
    """

    capability: ClassVar = "block_table"
    pattern: ClassVar = r"paged(\d+)(turned)?"
    absent: ClassVar = {"block_table": None, "cache_seqlens": None}
    stores: ClassVar = True
    kind: ClassVar = "leaked keys"

    page: int = 16
    turned: bool = False

    def __post_init__(self) -> None:
        if self.page < 1:
            raise ValueError(f"case: block_table has pages of {self.page} keys; allowed: 1 or more")

    @property
    def token(self) -> str:
        """`paged16`: the word and the keys of a page; `paged16turned` as of `ragged`."""
        return f"paged{self.page}" + "turned" * self.turned

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> Paged:
        """From the keys of a page, and "turned" or None."""
        return cls(int(groups[0]), groups[1] is not None)

    def redrawn(self) -> Paged:
        """Each sequence has the length of the next, and other pages."""
        return Paged(self.page, not self.turned)

    def refuse(self, case: Case) -> None:
        """Lengths are given once, and pages have a layout of their own."""
        if case.layout == "bsnd":
            raise ValueError("case: layout bsnd does not combine with block_table; allowed: contiguous, strided")
        for variant in case.variants:
            if variant.capability == "seqused_k":
                raise ValueError("case: block_table does not combine with seqused_k, it has lengths of its own")

    def hides(self, case: Case) -> bool:
        """Whether some sequence has fewer keys than there is room for."""
        return any(key < case.key_length for _, key in self.lengths(case))

    def lengths(self, case: Case) -> tuple[tuple[int, int], ...]:
        """All queries and a ragged number of keys in each batch."""
        return tuple(
            (case.query_length, key) for key in ragged_lengths(case.batch, case.key_length, turned=self.turned)
        )

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """`block_table` int32 `[B, ceil(Skv / page)]`, pages in random order, and `cache_seqlens` int32 `[B]`."""
        import torch

        lengths = torch.tensor([problem.lengths_of(batch).key for batch in range(problem.batch)], dtype=torch.int32)
        needed = torch.arange(-(-problem.key_length // self.page)) * self.page < lengths.unsqueeze(1)
        count = int(needed.sum())
        order = torch.randperm(count + SPARE, generator=generator).to(torch.int32)
        table = order[count:][torch.arange(needed.numel()) % SPARE].view(needed.shape)
        table[needed] = order[:count]
        return {"block_table": table, "cache_seqlens": lengths}

    def store(self, inputs: Inputs) -> Inputs:
        """Key `[pages, page, Hkv, D]` and value `[pages, page, Hkv, Dv]`; what no sequence has is NaN where the padding
        of the inputs is, else normal."""
        table = inputs.extras["block_table"].long()
        key, value = (
            self._paged(tensor, table, inputs.extras["cache_seqlens"]) for tensor in (inputs.key, inputs.value)
        )
        return replace(inputs, key=key, value=value)

    def _paged(self, tensor: Tensor, table: Tensor, lengths: Tensor) -> Tensor:
        import torch

        batch, heads, length, dim = tensor.shape
        count = sum(-(-int(each) // self.page) for each in lengths) + SPARE
        # The last key of the shortest sequence is padding, and NaN where that is.
        unused = tensor[int(lengths.argmin()), :, -1:]
        pool = unused.transpose(0, 1).expand(count, self.page, heads, dim).clone()
        missing = table.shape[1] * self.page - length
        whole = torch.cat([tensor, unused.expand(batch, heads, missing, dim)], dim=2)
        pages = whole.view(batch, heads, table.shape[1], self.page, dim).permute(0, 2, 3, 1, 4)
        needed = torch.arange(table.shape[1], device=table.device) * self.page < lengths.unsqueeze(1)
        pool[table[needed]] = pages[needed]
        return pool

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """Pages of another sequence or place, and other numbers of keys."""
        import torch

        from pytest_attn.problem.variants.mistake import Mistake

        pool, table = self.store(inputs), inputs.extras["block_table"].long()
        place = torch.arange(table.numel(), device=table.device).view(table.shape) % len(pool.key)
        room = table.shape[1] * self.page
        guesses = {
            "the table of pages is not read: each sequence has neighbouring pages": place,
            "every sequence reads the first pages of the pool": place[:1].expand_as(table),
            "every sequence reads the pages of the first": table[:1].expand_as(table),
            "each page but the first is read at the place of the one before": torch.cat(
                [table[:, :1], table[:, :-1]], dim=1
            ),
            "each sequence reads the pages of the next": table.roll(-1, 0),
        }
        for phrase, pages in guesses.items():
            read = self._of_pages(inputs, pool, pages)
            yield Mistake("head mapping", phrase, replace(problem, key_length=room), read)
        # Beyond the length that there is room for, the last page holds more rows.
        whole = self._of_pages(inputs, pool, table)
        if "attn_bias" in inputs.extras:
            yield from length_mistakes(self, problem, inputs, self.page)
            return
        for most in dict.fromkeys((problem.key_length, room)):
            yield from length_mistakes(self, replace(problem, key_length=room), whole, self.page, most)

    def _of_pages(self, inputs: Inputs, pool: Inputs, pages: Tensor) -> Inputs:
        """The inputs whose sequences have those pages `[B, pages]` of a pool."""
        key, value = (tensor[pages].flatten(1, 2).transpose(1, 2) for tensor in (pool.key, pool.value))
        return replace(inputs, key=key, value=value, unread=None, storage=None)
