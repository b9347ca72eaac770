"""Packed sequences of unequal length, one behind the other, without padding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_attn.problem.variants.seqused_k import length_mistakes, ragged_lengths
from pytest_attn.problem.variants.variant import Side, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Generator, Tensor

    from pytest_attn.problem.case import Case
    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.kinds import Kind
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.mistake import Mistake


@dataclass(frozen=True)
class Packed(Variant):
    """Sequence b has queries cu_seqlens_q[b] to cu_seqlens_q[b + 1] - 1 of all, and keys likewise; some have none.
    Causal masks and windows end at the last key of each.

    Query `[total_q, Hq, D]`, key `[total_k, Hkv, D]`, value `[total_k, Hkv, Dv]`, out `[total_q, Hq, Dv]`, LSE
    `[Hq, total_q]`; keywords `cu_seqlens_q` and `cu_seqlens_k`, int32 `[B + 1]`, `max_seqlen_q` and `max_seqlen_k`:
    those of flash_attn_varlen_func.
    """

    capability: ClassVar = "cu_seqlens"
    pattern: ClassVar = r"packed(turned)?"
    absent: ClassVar = dict.fromkeys(("cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k"))
    stores: ClassVar = True
    differentiable: ClassVar = True
    kind: ClassVar = "leaked keys"

    turned: bool = False

    @property
    def token(self) -> str:
        """`packed`: the lengths follow from batch and longest; `packedturned` where each has that of the next."""
        return "packed" + "turned" * self.turned

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> Packed:
        """From "turned" or None."""
        return cls(groups[0] is not None)

    def redrawn(self) -> Packed:
        """Each sequence has the length of the next: as many tokens in all, other ends."""
        return Packed(not self.turned)

    def refuse(self, case: Case) -> None:
        """What has a place for every pair of a padded batch, or lengths of its own, does not combine."""
        if case.sparsity is not None:
            raise ValueError("case: cu_seqlens does not combine with sparsity")
        if case.layout == "bsnd":
            raise ValueError("case: layout bsnd does not combine with cu_seqlens; allowed: contiguous, strided")
        for variant in case.variants:
            if variant.capability in ("seqused_k", "attn_bias", "block_table"):
                raise ValueError(f"case: cu_seqlens does not combine with {variant.capability}")

    def hides(self, case: Case) -> bool:
        """Whether some sequence has fewer queries or keys than the longest."""
        return any(lengths != (case.query_length, case.key_length) for lengths in self.lengths(case))

    def lengths(self, case: Case) -> tuple[tuple[int, int], ...]:
        """Ragged lengths: where queries and keys are equally many, so they are in each sequence; else a sequence may
        have queries and no keys, or keys and no queries."""
        queries = ragged_lengths(case.batch, case.query_length, turned=self.turned)
        keys = ragged_lengths(case.batch, case.key_length, turned=self.turned)
        if case.query_length != case.key_length:
            keys = (*keys[1:], keys[0])
        return tuple(zip(queries, keys, strict=True))

    def draw(self, problem: Problem, generator: Generator) -> dict[str, Tensor]:
        """`cu_seqlens_q` and `cu_seqlens_k`, int32 `[B + 1]`: where the sequences begin and end."""
        import torch

        return {
            "cu_seqlens_q": torch.tensor(_ends(problem, "query"), dtype=torch.int32),
            "cu_seqlens_k": torch.tensor(_ends(problem, "key"), dtype=torch.int32),
        }

    def keywords(self, problem: Problem, extras: Mapping[str, Tensor]) -> dict[str, Any]:
        """The ends of the sequences, and the most queries and keys that one of them has."""
        longest = {
            f"max_seqlen_{side[0]}": max(stop - start for start, stop in pairwise(_ends(problem, side)))
            for side in ("query", "key")
        }
        return {name: extras[name] for name in ("cu_seqlens_q", "cu_seqlens_k")} | longest

    def store(self, inputs: Inputs) -> Inputs:
        """Query, key, value and grad_out as `[total, H, D]`, without padding."""
        ends = {name: inputs.extras[name].tolist() for name in ("cu_seqlens_q", "cu_seqlens_k")}
        query = _pack(inputs.query, ends["cu_seqlens_q"])
        key, value = (_pack(tensor, ends["cu_seqlens_k"]) for tensor in (inputs.key, inputs.value))
        grad_out = None if inputs.grad_out is None else _pack(inputs.grad_out, ends["cu_seqlens_q"])
        return replace(inputs, query=query, key=key, value=value, grad_out=grad_out)

    def stored_shapes(self, problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """out `[total_q, Hq, Dv]` and LSE `[Hq, total_q]`."""
        total = _ends(problem, "query")[-1]
        return (total, problem.query_heads, problem.value_dim), (problem.query_heads, total)

    def restore(self, problem: Problem, stored: Tensor, into: Tensor, side: Side = "query") -> None:
        """Cut `[total, H, D]`, or an LSE `[Hq, total_q]`, into its sequences; padding of `into` stays as it is."""
        by_head = stored.transpose(0, 1) if stored.dim() == 3 else stored
        for batch, (start, stop) in enumerate(pairwise(_ends(problem, side))):
            into[batch, :, : stop - start] = by_head[:, start:stop]

    def mistakes(self, problem: Problem, inputs: Inputs) -> Iterator[Mistake]:
        """Keys of other tokens than a sequence's own, and other numbers of keys."""
        from pytest_attn.problem.variants.mistake import Mistake

        ends, queries = _ends(problem, "key"), _ends(problem, "query")
        own, total = [range(*pair) for pair in pairwise(ends)], ends[-1]
        late = [range(min(each.start + 1, total), min(each.stop + 1, total)) for each in own]
        following = [*own[1:], own[0]]
        guesses: list[tuple[Kind, str, Sequence[range]]] = [
            ("lost keys", "the last key of each sequence is left out", [each[:-1] for each in own]),
            ("head mapping", "the keys of each sequence begin and end one token late", late),
            ("head mapping", "keys are found by the ends of the queries", [range(*pair) for pair in pairwise(queries)]),
            ("head mapping", "each sequence reads the keys of the next", following),
            ("leaked keys", "every sequence reads the keys of all", [range(total)] * len(own)),
            ("head mapping", "every sequence reads the keys of the first", [own[0]] * len(own)),
        ]
        for kind, phrase, ranges in guesses:
            cut = [range(min(each.start, total), min(each.stop, total)) for each in ranges]
            yield Mistake(kind, phrase, *_of_tokens(self, problem, inputs, cut))
        yield from length_mistakes(self, problem, inputs)


def _of_tokens(variant: Packed, problem: Problem, inputs: Inputs, ranges: Sequence[range]) -> tuple[Problem, Inputs]:
    """The problem in which each sequence has those of all packed keys."""
    from pytest_attn.problem.variants.mistake import Instead, instead

    stored, longest = variant.store(inputs), max(1, *(len(each) for each in ranges))

    def padded(packed: Tensor) -> Tensor:
        found = packed.new_zeros(len(ranges), packed.shape[1], longest, packed.shape[2])
        for batch, each in enumerate(ranges):
            found[batch, :, : len(each)] = packed[each.start : each.stop].transpose(0, 1)
        return found

    lengths = ((problem.lengths_of(batch).query, len(each)) for batch, each in enumerate(ranges))
    other = instead(replace(problem, key_length=longest), variant, Instead(sequences=tuple(lengths)))
    return other, replace(inputs, key=padded(stored.key), value=padded(stored.value), unread=None, storage=None)


def _ends(problem: Problem, side: Side) -> list[int]:
    """Where the sequences begin and end among all queries, or keys."""
    lengths = (getattr(problem.lengths_of(batch), side) for batch in range(problem.batch))
    return [0, *accumulate(lengths)]


def _pack(tensor: Tensor, ends: list[int]) -> Tensor:
    """`[total, H, D]` of `[B, H, S, D]`."""
    import torch

    rows = (tensor[batch, :, : stop - start].transpose(0, 1) for batch, (start, stop) in enumerate(pairwise(ends)))
    return torch.cat(list(rows))
