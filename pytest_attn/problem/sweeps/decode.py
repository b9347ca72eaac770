"""A few new queries against a KV cache: contiguous, padded to the longest, or paged; pairwise."""

from __future__ import annotations

from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.sweeps.boundary import FEW_RECIPES, Axes, pairwise
from pytest_attn.problem.variants import Alibi, KeyLengths, NumSplits, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import DTYPES

QUERIES = (1, 2, 5)
"""One new token, and the drafts of speculative decoding."""

KEYS = (1, 127, 128, 129, 1000, 4097)
"""The longest sequence of a batch: one, a tile and one beside it, and many tiles with a partial last one."""

HEADS = ((2, 2), (8, 2), (16, 2), (8, 1))
"""(query heads, key heads): groups of 1, 4 and 8, and multi-query attention."""

PAGES = (Paged(16), Paged(128))

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


def _case(
    queries: int,
    keys: int,
    heads: tuple[int, int],
    dims: tuple[int, int],
    cache: Variant | None,
    variants: tuple[Variant, ...],
    **fields: Any,
) -> Case:
    return Case(
        queries,
        keys,
        query_heads=heads[0],
        key_heads=heads[1],
        head_dim=dims[0],
        value_dim=dims[1],
        variants=(*variants, cache) if cache else variants,
        **fields,
    )


@register("decode", "one to five queries against a KV cache, contiguous or paged; pairwise")
def decode() -> Groups:
    """Whole caches, caches with lengths, pages, and what models add to them."""
    caches = (None, KeyLengths(), *PAGES)
    return {
        "decode_contiguous": pairwise(FIELDS, _case),
        "decode_key_lengths": pairwise({**FIELDS, "cache": (KeyLengths(),)}, _case),
        "decode_paged": pairwise({**FIELDS, "cache": PAGES, "layout": ("contiguous", "strided")}, _case),
        "decode_variants": pairwise({**FIELDS, "cache": caches, "variants": VARIED}, _case),
        "decode_splits": pairwise({**FIELDS, "ask": ("both",), "cache": caches, "variants": SPLIT}, _case),
    }
