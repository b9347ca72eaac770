"""A problem: one attention computation, with its mask but without its tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch

from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.case import Case
from pytest_attn.problem.dtypes import DataType, data_types
from pytest_attn.problem.masks import BlockSparse, Causal, Dense, Lengths, Mask, Ragged, intersection, parts
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import Alignment, Ask


def torch_dtype(name: str) -> torch.dtype:
    """The `torch.dtype` of a data type's name."""
    return getattr(torch, data_types()[name].torch)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Problem:
    """softmax(scale * query @ key^T, masked) @ value, per batch and query head.

    Shapes: query `[B, Hq, Sq, D]`, key `[B, Hkv, Skv, D]`, value `[B, Hkv, Skv, Dv]`, out `[B, Hq, Sq, Dv]`,
    log-sum-exp `[B, Hq, Sq]` of `sum_dtype`, natural logarithm of the sum of exponentials of the scaled scores.
    Query head h reads key head h // (Hq // Hkv). `ask` says which of the two results is wanted, or that the gradients
    of query, key and value are. `variants` say what else becomes of the logits; `mask` holds what they contribute to
    it.
    """

    batch: int
    query_heads: int
    key_heads: int
    query_length: int
    key_length: int
    head_dim: int
    value_dim: int
    dtype: torch.dtype
    scale: float
    mask: Mask = field(default_factory=Dense)
    ask: Ask = "both"
    variants: tuple[Variant, ...] = ()

    @staticmethod
    def of(case: Case) -> Problem:
        """The problem of a case. Raises ValueError where the case is unsatisfiable."""
        return Problem(
            batch=case.batch,
            query_heads=case.query_heads,
            key_heads=case.key_heads,
            query_length=case.query_length,
            key_length=case.key_length,
            head_dim=case.head_dim,
            value_dim=case.value_dim,
            dtype=torch_dtype(case.dtype),
            scale=case.softmax_scale,
            mask=_mask_of(case),
            ask=case.ask,
            variants=case.variants,
        )

    def varied(self, variants: Iterable[Variant]) -> Problem:
        """The same problem with other variants, and in its mask what they contribute in the place of what the own ones
        did."""
        variants = tuple(variants)
        shape = Case(
            self.query_length,
            self.key_length,
            batch=self.batch,
            query_heads=self.query_heads,
            key_heads=self.key_heads,
        )
        contributed = {mask.key for variant in self.variants if (mask := variant.mask(shape))}
        own = [part for part in parts(self.mask) if part.key not in contributed]
        return replace(self, variants=variants, mask=_varied(own, shape, variants))

    def masked(self, masks: Iterable[Mask]) -> Problem:
        """The same problem with other masks, cut to the same sequences."""
        mask = intersection(*masks)
        return replace(self, mask=Ragged(mask, self.mask.sequences) if isinstance(self.mask, Ragged) else mask)

    @property
    def lengths(self) -> Lengths:
        """(Sq, Skv), the tokens that the tensors have room for in every batch."""
        return Lengths(self.query_length, self.key_length)

    def lengths_of(self, batch: int) -> Lengths:
        """Tokens of the sequence of one batch, which padding may follow."""
        return self.mask.sequences[batch] if isinstance(self.mask, Ragged) else self.lengths

    @property
    def sequences(self) -> tuple[Lengths, ...]:
        """(queries, keys) of the sequence of every batch."""
        return tuple(self.lengths_of(batch) for batch in range(self.batch))

    @property
    def causal(self) -> Alignment | None:
        """Where the causal diagonal ends; None without a causal mask."""
        return next((mask.align for mask in parts(self.mask) if isinstance(mask, Causal)), None)

    @property
    def dense(self) -> bool:
        """Whether every query of a sequence sees every key of it: neither causal, nor blocks, nor a window."""
        return all(isinstance(mask, Dense) for mask in parts(self.mask))

    def variant(self, capability: str) -> Variant | None:
        """The variant of a capability, such as `window_size`; None where the problem has none."""
        return next((variant for variant in self.variants if variant.capability == capability), None)

    @property
    def changes_logits(self) -> bool:
        """Whether a variant changes the logits."""
        return any(variant.changes_logits for variant in self.variants)

    @property
    def storage(self) -> Variant | None:
        """The variant that gives the tensors of the problem another form; None where none does."""
        return next((variant for variant in self.variants if variant.stores), None)

    @property
    def stored_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the output and of the LSE that a kernel returns."""
        out, lse = self.storage.stored_shapes(self) if self.storage else (self.out_shape, self.lse_shape)
        splits = (self.num_splits,) if self.num_splits else ()
        return (*splits, *out), (*splits, *lse)

    @property
    def num_splits(self) -> int:
        """Splits of the keys whose partial results a kernel returns; 0: it returns the result."""
        return max((variant.splits for variant in self.variants), default=0)

    @property
    def out_dtype(self) -> torch.dtype:
        """The dtype of the output that a kernel returns: partial results are float32 at least."""
        return self.sum_dtype if self.num_splits else self.dtype

    @property
    def group(self) -> int:
        """Query heads that share one key head."""
        return self.query_heads // self.key_heads

    @property
    def wants_out(self) -> bool:
        """Whether the output is asked for."""
        return self.ask in ("out", "both")

    @property
    def wants_lse(self) -> bool:
        """Whether the log-sum-exp is asked for."""
        return self.ask in ("lse", "both")

    @property
    def wants_grad(self) -> bool:
        """Whether the gradients of query, key and value are asked for."""
        return self.ask == "grad"

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Shapes of query, key and value."""
        query = (self.batch, self.query_heads, self.query_length, self.head_dim)
        key = (self.batch, self.key_heads, self.key_length, self.head_dim)
        return query, key, (*key[:3], self.value_dim)

    @property
    def forward_flops(self) -> float:
        """Floating-point operations of one forward pass; those that masks other than of blocks save are not
        deducted."""
        pairs = float(self.batch * self.query_heads * self.query_length * self.key_length)
        if isinstance(self.mask, BlockSparse):
            pairs *= self.mask.block_mask.kept / self.mask.block_mask.blocks.numel()
        return 2 * pairs * (self.head_dim + self.value_dim)

    @property
    def present_queries(self) -> torch.Tensor:
        """bool `[B, 1, Sq]`: the queries that a sequence has."""
        lengths = torch.tensor([self.lengths_of(batch).query for batch in range(self.batch)])
        return (torch.arange(self.query_length) < lengths.unsqueeze(1)).unsqueeze(1)

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output, `[B, Hq, Sq, Dv]`."""
        return (self.batch, self.query_heads, self.query_length, self.value_dim)

    @property
    def lse_shape(self) -> tuple[int, int, int]:
        """Shape of the log-sum-exp, `[B, Hq, Sq]`."""
        return (self.batch, self.query_heads, self.query_length)

    @property
    def oracle_dtype(self) -> torch.dtype:
        """The precision of references: one above the inputs, where there is one."""
        return getattr(torch, self.data_type.oracle)  # type: ignore[no-any-return]

    @property
    def sum_dtype(self) -> torch.dtype:
        """The precision of the log-sum-exp, and of sums that are kept in nothing less: float32, or float64 for inputs
        of float64."""
        return getattr(torch, self.data_type.accumulator)  # type: ignore[no-any-return]

    @property
    def data_type(self) -> DataType:
        """What is usual for the data type of the inputs."""
        return next(known for known in data_types().values() if getattr(torch, known.torch) == self.dtype)


def _mask_of(case: Case) -> Mask:
    masks: list[Mask | None] = [_blocks_of(case), Causal(case.causal) if case.causal else None]
    return _varied([mask for mask in masks if mask is not None], case, case.variants)


def _varied(masks: Iterable[Mask], case: Case, variants: Iterable[Variant]) -> Mask:
    """Masks and what the variants of a case contribute to them."""
    contributed = (variant.mask(case) for variant in variants)
    mask = intersection(*masks, *(mask for mask in contributed if mask is not None))
    found = (variant.lengths(case) for variant in variants)
    sequences = next((lengths for lengths in found if lengths is not None), None)
    return mask if sequences is None else Ragged(mask, tuple(Lengths(*lengths) for lengths in sequences))


def _blocks_of(case: Case) -> BlockSparse | None:
    if case.pattern is None:
        return None
    kept = [case.pattern.kept(seed) for seed in case.head_seeds()]
    shape = case.pattern.block_shape
    return BlockSparse(BlockMask.from_kept_rows(kept, case.batch, shape, case.query_length, case.key_length))
