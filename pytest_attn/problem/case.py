"""A case: one cell of a sweep, as plain data with an id that names it fully."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.frame import FrameWidths
from pytest_attn.problem.pattern import BLOCK_MASK_SEED, BlockPattern
from pytest_attn.problem.relations import Relation, refuse_relation
from pytest_attn.problem.spelling import number_from_id, percent_to_id
from pytest_attn.problem.variants.registry import in_order
from pytest_attn.problem.variants.variant import Variant

Ask = Literal["out", "lse", "both", "grad"]
"""What the kernel is asked for and judged on: the output alone, the log-sum-exp, both from one call, or the gradients
of query, key and value."""

Alignment = Literal["bottom-right", "top-left"]
"""Where the causal diagonal ends: at the last key of the last query, or at the first key of the first query."""

Recipe = Literal[
    "normal",
    "zeros",
    "zeroquery",
    "ones",
    "keycoded",
    "headcoded",
    "columncoded",
    "needle",
    "negative",
    "growing",
    "large",
    "integers",
    "largevalue",
    "onehotgrad",
    "constantcolumn",
]
"""How query, key and value are drawn; `pytest_attn.problem.recipes` says what each makes visible."""

GRADIENT_RECIPES: tuple[Recipe, ...] = ("onehotgrad", "constantcolumn")
"""The recipes that are made for gradients; to a forward pass they are like "normal"."""

GRADIENT_ORACLES = ("exact", "again")
"""What gradients can be compared with."""

ZERO_QUERY: tuple[Recipe, ...] = ("zeros", "zeroquery")
"""The recipes for which closed forms exist: every key has the same weight."""

Layout = Literal["contiguous", "strided", "bsnd"]
"""How query, key and value lie in memory: contiguous, each with an order of its own and gaps between its rows, or as
`[B, S, H, D]` that is seen as `[B, H, S, D]`, which most models hand to their kernels."""

OracleName = Literal["exact", "fias", "loop", "analytic", "again", "sequence", Relation]
"""What the result is compared with: a reference (`pytest_attn.oracles`), the kernel's own second result ("again"),
references of several calls in a row ("sequence"), or a `Relation`."""

FIXED_FORM: tuple[OracleName, ...] = ("fias", "loop", "analytic")
"""The oracles of softmax(scale q k^T) v, which know no variants."""

DTYPES = ("bfloat16", "float16", "float32")
"""The data types that sweeps vary, and that kernels claim unless they say otherwise."""


_WORDS = {
    "causal": (None, *get_args(Alignment)),
    "recipe": get_args(Recipe),
    "layout": get_args(Layout),
    "ask": get_args(Ask),
    "oracle": get_args(OracleName),
}


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
        sizes = ("batch", "query_heads", "key_heads", "query_length", "key_length", "head_dim", "value_dim")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"case: {name} is {getattr(self, name)}; allowed: 1 or more")
        if self.query_heads % self.key_heads:
            raise ValueError(f"case: query_heads {self.query_heads} is not a multiple of key_heads {self.key_heads}")
        for name, allowed in ({"dtype": tuple(data_types())} | _WORDS).items():
            if getattr(self, name) not in allowed:
                words = ", ".join(str(word) for word in allowed)
                raise ValueError(f"case: {name} is {getattr(self, name)!r}; allowed: {words}")
        if self.scale is not None and not math.isfinite(self.scale):
            raise ValueError(f"case: scale is {self.scale}; allowed: a finite number")
        if self.sparsity is not None:
            # The id carries the percentage with 12 digits; the field is what the id says.
            object.__setattr__(self, "sparsity", number_from_id(percent_to_id(self.sparsity)) / 100)
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
        self._order_variants()
        refuse_relation(self)

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
    def pairs(self) -> int:
        """Exact number of (query, key) pairs that may attend, over all batches and query heads."""
        if self.unsatisfiable:
            return 0
        if self.variants or (self.pattern is not None and self.causal is not None):
            return self._visible_pairs()
        if self.pattern is not None:
            return sum(self._sparse_pairs(seed) for seed in self.head_seeds())
        per_head = self.query_length * self.key_length
        if self.causal is not None:
            offset = self.key_length - self.query_length if self.causal == "bottom-right" else 0
            visible = (min(max(i + offset + 1, 0), self.key_length) for i in range(self.query_length))
            per_head = sum(visible)
        return per_head * self.batch * self.query_heads

    def _visible_pairs(self) -> int:
        # Masks are torch's; the cases of one mask, and so the ids of the published sweeps, need none.
        from pytest_attn.problem.masks import visible_keys
        from pytest_attn.problem.problem import Problem

        problem = Problem.of(self)
        return int(visible_keys(problem.mask, problem.lengths, self.batch, self.query_heads).sum())

    def _sparse_pairs(self, seed: int) -> int:
        assert self.pattern is not None
        query_block, key_block = self.pattern.block_shape
        tail = self.key_length - (self.pattern.cols - 1) * key_block
        total = 0
        for row, kept in enumerate(self.pattern.kept(seed)):
            queries = min(query_block, self.query_length - row * query_block)
            last = kept[-1] == self.pattern.cols - 1
            total += queries * (key_block * (len(kept) - last) + tail * last)
        return total

    @property
    def flops(self) -> int:
        """Floating-point operations: 2 (D + Dv) per pair that may attend; softmax not counted. Where gradients are
        asked for, 2 (3 D + 2 Dv) more for the five products of the backward pass."""
        forward = 2 * (self.head_dim + self.value_dim) * self.pairs
        backward = 2 * (3 * self.head_dim + 2 * self.value_dim) * self.pairs
        return forward + (backward if self.ask == "grad" else 0)

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


EXAMPLE_ID = "b1-h2-s1024-d128-bfloat16-sp50pct-bs128x512-both-exact"
