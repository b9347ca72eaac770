"""A case: one cell of a sweep, as plain data with an id that names it fully."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.frame import FrameWidths
from pytest_attn.problem.pattern import BLOCK_MASK_SEED, BlockPattern
from pytest_attn.problem.relations import refuse_relation
from pytest_attn.problem.spelling import spelled_percent
from pytest_attn.problem.variants.registry import in_order
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import (
    FIXED_FORM,
    GRADIENT_ORACLES,
    WORDS,
    ZERO_QUERY,
    Alignment,
    Ask,
    Layout,
    OracleName,
    Recipe,
)

SIZES = ("batch", "query_heads", "key_heads", "query_length", "key_length", "head_dim", "value_dim")
"""Fields of a case that are whole numbers, 1 or more."""


@dataclass(frozen=True)
class Case:
    """One attention computation to judge, before any tensor exists.

    `scale` None means 1 / sqrt(head_dim). `block_shape` without `sparsity` is a dense case that the published suites
    repeat for every block shape. `variants` stand in the order of their registration. Raises ValueError, naming the
    field, where the fields contradict each other.
    """

    query_length: int
    key_length: int
    head_dim: int = 128
    value_dim: int = 0
    batch: int = 1
    query_heads: int = 1
    key_heads: int = 0
    dtype: str = "bfloat16"
    scale: float | None = None
    causal: Alignment | None = None
    sparsity: float | None = None
    block_shape: tuple[int, int] | None = None
    frame: FrameWidths | None = None
    variants: tuple[Variant, ...] = ()
    recipe: Recipe = "normal"
    layout: Layout = "contiguous"
    ask: Ask = "both"
    oracle: OracleName = "exact"

    def __post_init__(self) -> None:
        if self.value_dim == 0:
            object.__setattr__(self, "value_dim", self.head_dim)
        if self.key_heads == 0:
            object.__setattr__(self, "key_heads", self.query_heads)
        for name in SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"case: {name} is {getattr(self, name)}; allowed: 1 or more")
        if self.query_heads % self.key_heads:
            raise ValueError(f"case: query_heads {self.query_heads} is not a multiple of key_heads {self.key_heads}")
        if self.dtype not in data_types():
            self._refuse_word("dtype", data_types())
        for name, allowed in WORDS.items():
            if getattr(self, name) not in allowed:
                self._refuse_word(name, allowed)
        if self.scale is not None and not math.isfinite(self.scale):
            raise ValueError(f"case: scale is {self.scale}; allowed: a finite number")
        if self.sparsity is not None:
            # The id carries the percentage with 12 digits; the field is what the id says.
            object.__setattr__(self, "sparsity", spelled_percent(self.sparsity))
        if self.sparsity is not None and self.block_shape is None:
            raise ValueError("case: sparsity needs a block_shape")
        if self.sparsity is not None and not 0.0 <= self.sparsity <= 1.0:
            raise ValueError(f"case: sparsity is {self.sparsity:g}; allowed: 0 to 1")
        if self.block_shape is not None and min(self.block_shape) < 1:
            raise ValueError(f"case: block_shape is {self.block_shape}; allowed: two positive block sizes")
        if self.oracle == "analytic" and self.recipe not in ZERO_QUERY:
            raise ValueError(
                f"case: the analytic oracle has no closed form for {self.recipe}; "
                f"allowed: the recipes {' and '.join(ZERO_QUERY)}"
            )
        if self.frame is not None and self.sparsity is None:
            raise ValueError("case: frame needs a sparsity")
        if self.ask == "grad" and self.oracle not in GRADIENT_ORACLES:
            raise ValueError(f"case: oracle is {self.oracle!r}; allowed for grad: {', '.join(GRADIENT_ORACLES)}")
        if self.variants:
            self._order_variants()
        refuse_relation(self)

    def _refuse_word(self, name: str, allowed: Iterable[str | None]) -> NoReturn:
        words = ", ".join(str(word) for word in allowed)
        raise ValueError(f"case: {name} is {getattr(self, name)!r}; allowed: {words}")

    def _order_variants(self) -> None:
        object.__setattr__(self, "variants", in_order(self.variants))
        for before, variant in zip((None, *self.variants), self.variants, strict=False):
            if type(before) is type(variant):
                raise ValueError(f"case: variants has two of {variant.capability}; allowed: one of each")
            variant.refuse(self)
            if self.ask == "grad" and not variant.differentiable:
                raise ValueError(f"case: ask is 'grad', whose oracle does not know {variant.capability}; allowed: both")
        if self.variants and self.oracle in FIXED_FORM:
            raise ValueError(
                f"case: the {self.oracle} oracle does not know {self.variants[0].capability}; allowed: exact"
            )

    @cached_property
    def pattern(self) -> BlockPattern | None:
        """The block pattern of one head; None for a dense or causal case."""
        if self.sparsity is None or self.block_shape is None:
            return None
        frame = self.frame or FrameWidths()
        return BlockPattern(self.query_length, self.key_length, self.block_shape, self.sparsity, frame)

    @property
    def unsatisfiable(self) -> str | None:
        """Why the case cannot exist, as a constant reason; None if it can."""
        return self.pattern.unsatisfiable if self.pattern else None

    @property
    def softmax_scale(self) -> float:
        """What the scores are multiplied with before the softmax."""
        return self.scale if self.scale is not None else 1.0 / math.sqrt(self.head_dim)

    def head_seeds(self) -> Iterable[int]:
        """The block-mask seed of each (batch, query head), batch-major, as published: base + batch + head."""
        return (BLOCK_MASK_SEED + b + h for b in range(self.batch) for h in range(self.query_heads))

    @cached_property
    def id(self) -> str:
        """The name of the case: lower-case letters, digits and `-`; `Case.parse` reads it back."""
        from pytest_attn.problem.case_id import spell

        return spell(self)

    @staticmethod
    def parse(text: str) -> Case:
        """The case of an id. Raises ValueError with one sentence where `text` is not the id of a case."""
        from pytest_attn.problem.case_id import parse

        return parse(text)
