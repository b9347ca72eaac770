"""Which tokens a sequence of a ragged batch has: padded, packed or in pages."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import Paged
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.variant_loop import OneSequence, VariantLoop


@plant("tail")
class LengthOfFirstBatch(VariantLoop):
    """Every sequence has as many keys as the first."""

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        return super().key_length(problem, used, 0)


@plant("tail")
class LengthOneMore(VariantLoop):
    """One key of padding is attended to."""

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        return min(super().key_length(problem, used, batch) + 1, problem.key_length)


@plant("tail")
class LengthOneLess(VariantLoop):
    """The last key of each sequence is left out."""

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        return max(super().key_length(problem, used, batch) - 1, 0)


@plant("leaked keys")
class PaddingAttended(VariantLoop):
    """Every sequence is taken to be as long as the tensors have room for (JAX 494f9c1295)."""

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        return problem.key_length


@plant("tail")
class LengthOfWholeTiles(VariantLoop):
    """A sequence is rounded up to whole tiles of keys (FlashInfer #1206)."""

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        return min(-(-super().key_length(problem, used, batch) // self.key_tile) * self.key_tile, problem.key_length)


@plant("tail")
class LengthOfWholePages(VariantLoop):
    """The last page of a sequence is attended to whole (FlashInfer #942)."""

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        paged = self.variant(problem, Paged)
        page = 1 if paged is None else paged.page
        return -(-super().key_length(problem, used, batch) // page) * page


@plant("empty rows")
class LengthAtLeastOne(VariantLoop):
    """A sequence without keys is taken to have one (FlashInfer #363)."""

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        return max(super().key_length(problem, used, batch), 1)


@plant("causal diagonal")
class DiagonalOfPaddedEnd(VariantLoop):
    """The causal diagonal ends at the last key that there is room for, not at the last of the sequence."""

    def diagonal(self, problem: Problem) -> int:
        assert isinstance(problem, OneSequence)
        longer = problem.room.key - problem.key_length - problem.room.query + problem.query_length
        return super().diagonal(problem) + longer


@plant("head mapping")
class KeysOfNextSequence(VariantLoop):
    """The keys of a packed sequence begin one token late and end one late."""

    def keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        own, ends = super().keys(problem, inputs, batch), inputs.extras.get("cu_seqlens_k")
        return own if ends is None else range(min(own.start + 1, int(ends[-1])), min(own.stop + 1, int(ends[-1])))


@plant("lost keys")
class LastPackedKeyLeftOut(VariantLoop):
    """The last key of a packed sequence is taken for the first of the next."""

    def keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        own = super().keys(problem, inputs, batch)
        return own[:-1] if "cu_seqlens_k" in inputs.extras else own


@plant("head mapping")
class KeysByQueryEnds(VariantLoop):
    """Keys are found by the ends of the queries."""

    def keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        packed = "cu_seqlens_k" in inputs.extras
        return self.queries(problem, inputs, batch) if packed else super().keys(problem, inputs, batch)


@plant("head mapping")
class PagesOfFirstBatch(VariantLoop):
    """Every sequence reads the pages of the first."""

    def page_list(self, problem: Problem, inputs: Inputs, batch: int) -> Tensor:
        return super().page_list(problem, inputs, 0)


@plant("head mapping")
class PagesInOrderOfPool(VariantLoop):
    """The table of pages is not read: a sequence has neighbouring pages."""

    def page_list(self, problem: Problem, inputs: Inputs, batch: int) -> Tensor:
        pages = super().page_list(problem, inputs, batch)
        return (torch.arange(len(pages)) + len(pages) * batch) % len(inputs.key)


@plant("head mapping")
class PageOfNextTile(VariantLoop):
    """The last page of a sequence is read at the place of the one before (FlashInfer #3022)."""

    def page_list(self, problem: Problem, inputs: Inputs, batch: int) -> Tensor:
        pages = super().page_list(problem, inputs, batch)
        return torch.cat([pages[:1], pages[:-1]])
