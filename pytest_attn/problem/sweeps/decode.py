"""A few new queries against a KV cache: contiguous, padded to the longest, or paged; pairwise."""

from __future__ import annotations

from itertools import cycle, product
from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.sweeps.boundary import FEW_RECIPES, Axes, pairwise
from pytest_attn.problem.sweeps.spread import case_of, spread
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, NumSplits, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import DTYPES

QUERIES = (1, 2, 5)
"""One new token, and the drafts of speculative decoding."""

KEYS = (1, 127, 128, 129, 1000, 4097)
"""The longest sequence of a batch: one, a tile and one beside it, and many tiles with a partial last one."""

HEADS = ((2, 2), (8, 2), (16, 2), (8, 1))
"""(query heads, key heads): groups of 1, 4 and 8, and multi-query attention."""

PAGES = (Paged(16), Paged(128))
OTHER_CACHES = (KeyLengths(), *PAGES)

FIELDS: Axes = {
    "queries": QUERIES,
    "keys": KEYS,
    "heads": HEADS,
    "dims": ((64, 64), (128, 128), (192, 128)),
    "recipe": FEW_RECIPES,
    "dtype": DTYPES,
    "batch": (1, 4),
    "causal": (None, "bottom-right"),
    "ask": ("both", "out", "lse"),
    "cache": (None,),
    "variants": ((),),
}

VARIED: tuple[tuple[Variant, ...], ...] = (
    *((Softcap(30.0),), (Sinks(),), (WindowSize(127, 0),), (WindowSize(0, 0),), (WindowSize(1000, 0),)),
    *((WindowSize(127, 0), Sinks()), (WindowSize(128, 0), Softcap(50.0))),
)
"""As models decode: Grok, gpt-oss, Mistral, Gemma 2, and windows of one key and beyond most caches."""


SPLIT: tuple[tuple[Variant, ...], ...] = (
    *((NumSplits(1),), (NumSplits(2),), (NumSplits(3),), (NumSplits(16),)),
    *((NumSplits(4), WindowSize(127, 0)), (NumSplits(5), Softcap(30.0)), (NumSplits(2), Alibi())),
)
"""Splits of whole caches and of a tile, and more of them than there are tiles or keys."""


CROSSED: tuple[tuple[Variant, ...], ...] = (
    *((), (WindowSize(127, 0),), (WindowSize(None, 16),), (WindowSize(1000, 0), Sinks())),
    *((Bias(),), (Bias(per_head=True),), (Bias(per_batch=True),), (Bias(per_batch=True, per_head=True),)),
    *((Alibi(),), (Alibi(), WindowSize(500, 0)), (Softcap(30.0),), (Softcap(50.0), Bias(per_head=True)), (Sinks(),)),
    *((NumSplits(4),), (NumSplits(16), Alibi()), (NumSplits(3), Bias(per_head=True))),
)
"""Every variant, with every number of queries."""

OF_QUERIES = (1, 2, 3, 5, 8, 16)

AXES: Axes = {
    "keys": (129, 300, 1000, 2100, 4097),
    "dtype": DTYPES,
    "recipe": FEW_RECIPES,
    "dims": ((64, 64), (128, 128), (256, 256), (192, 128)),
    "heads": ((1, 1), (4, 4), (8, 2), (6, 1)),
    "batch": (1, 3),
    "causal": (None, "bottom-right"),
    "ask": ("out", "both"),
}
"""What changes from cell to cell of each of these."""


def _crossed() -> tuple[Case, ...]:
    """Each variant at each number of queries, in a cache that each sequence fills and in another."""
    turns = cycle(OTHER_CACHES)
    rows = [
        {"queries": queries, "variants": variants, "cache": cache}
        for queries, variants in product(OF_QUERIES, CROSSED)
        for cache in (None, next(turns))
    ]
    return spread(rows, AXES, _case)


def _in_sequence() -> tuple[Case, ...]:
    """Each variant in calls that change it, in a cache that each sequence fills and in another."""
    turns = cycle(OTHER_CACHES)
    rows = [
        {"dtype": dtype, "variants": variants, "cache": cache, "oracle": "sequence"}
        for dtype, variants in product(DTYPES, CROSSED)
        for cache in (None, next(turns))
    ]
    return spread(rows, {**AXES, "queries": OF_QUERIES[:4], "keys": (129, 300), "batch": (3, 6)}, _case)


def _case(
    queries: int,
    keys: int,
    heads: tuple[int, int],
    dims: tuple[int, int],
    cache: Variant | None,
    variants: tuple[Variant, ...],
    **fields: Any,
) -> Case | None:
    return case_of((queries, keys), dims, heads, variants=(*variants, cache) if cache else variants, **fields)


@register("decode", "one to sixteen queries against a KV cache, contiguous or paged; pairwise")
def decode() -> Groups:
    """Whole caches, caches with lengths, pages, and what models add to them."""
    caches = (None, *OTHER_CACHES)
    return {
        "decode_contiguous": pairwise(FIELDS, _case),
        "decode_key_lengths": pairwise({**FIELDS, "cache": (KeyLengths(),)}, _case),
        "decode_paged": pairwise({**FIELDS, "cache": PAGES, "layout": ("contiguous", "strided")}, _case),
        "decode_variants": pairwise({**FIELDS, "cache": caches, "variants": VARIED}, _case),
        "decode_splits": pairwise({**FIELDS, "ask": ("both",), "cache": caches, "variants": SPLIT}, _case),
        "decode_crossed": _crossed(),
        "decode_sequence": _in_sequence(),
    }
