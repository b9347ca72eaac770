"""A few new queries against a KV cache, contiguous, padded to the longest, or paged: every variant at each of them."""

from __future__ import annotations

from itertools import cycle, product
from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.design import Axes, Design, Part, Row
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.sweeps.axes import DIMS, case_of, of_sizes
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, NumSplits, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import DTYPES

QUERIES = (1, 2, 3, 5, 8, 16)
"""One new token, drafts of speculative decoding, and the fewest rows of a matrix instruction."""

PAGES = (Paged(16), Paged(128))
OTHER_CACHES = (KeyLengths(), *PAGES)

CROSSED: tuple[tuple[Variant, ...], ...] = (
    *((), (WindowSize(127, 0),), (WindowSize(None, 16),), (WindowSize(1000, 0), Sinks())),
    *((Bias(),), (Bias(per_head=True),), (Bias(per_batch=True),), (Bias(per_batch=True, per_head=True),)),
    *((Alibi(),), (Alibi(), WindowSize(500, 0)), (Softcap(30.0),), (Softcap(50.0), Bias(per_head=True)), (Sinks(),)),
    *((NumSplits(4),), (NumSplits(16), Alibi()), (NumSplits(3), Bias(per_head=True))),
)
"""Every variant, with every number of queries."""

ALSO: tuple[tuple[Variant, ...], ...] = (
    *((WindowSize(0, 0),), (WindowSize(127, 0), Sinks()), (WindowSize(128, 0), Softcap(50.0))),
    *((NumSplits(1),), (NumSplits(2),), (NumSplits(4), WindowSize(127, 0)), (NumSplits(5), Softcap(30.0))),
)
"""As models decode: gpt-oss, Gemma 2; splits of whole caches and of a tile, and more of them than there are tiles."""


def _axes() -> Axes:
    return {
        "queries": QUERIES,
        "keys": (129, 300, 1000, 2100, 4097, 1, 127, 128),
        "dtype": tuple(data_types()),
        "recipe": ("normal", "needle", "growing", "large"),
        "dims": DIMS,
        "heads": ((1, 1), (4, 4), (8, 2), (6, 1), (16, 2)),
        "batch": (1, 3),
        "causal": (None, "bottom-right"),
        "ask": ("out", "both", "lse"),
        "layout": ("contiguous", "strided"),
        "oracle": ("exact", "again", "lonehead", "hiddenkeys"),
        "cache": (None, *OTHER_CACHES),
        "variants": (*CROSSED, *ALSO),
    }


def _crossed() -> tuple[Row, ...]:
    """Each variant at each number of queries, in a long cache that each sequence fills and in another."""
    caches, lengths = cycle(OTHER_CACHES), cycle((1000, 2100, 4097))
    rows = ({"queries": queries, "variants": variants} for queries, variants in product(QUERIES, CROSSED))
    return tuple(
        {**row, "oracle": "exact", **cache}
        for row in rows
        for cache in ({"cache": None, "keys": next(lengths)}, {"cache": next(caches)})
    )


def _sequences() -> tuple[Row, ...]:
    """Each variant in calls that change it, in a cache that each sequence fills and in another."""
    turns = cycle(OTHER_CACHES)
    return tuple(
        {"dtype": dtype, "variants": variants, "cache": cache}
        for dtype, variants in product(DTYPES, CROSSED)
        for cache in (None, next(turns))
    )


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


@register("decode", "one to sixteen queries against a KV cache, contiguous or paged, with every variant; all pairs")
def decode() -> Groups:
    """Whole caches, caches with lengths, pages, and sequences of calls."""
    whole = Design(_axes(), _case, rows=_crossed(), of_sizes=of_sizes)
    calls = {**_axes(), "queries": QUERIES[:4], "keys": (129, 300), "batch": (3, 6), "oracle": ("sequence",)}
    sequences = Design({**calls, "variants": CROSSED}, _case, covers=(), rows=_sequences(), of_sizes=of_sizes)

    def stored(*forms: type[Variant]) -> Part:
        return Part(whole, lambda case: any(isinstance(each, forms) for each in case.variants) == bool(forms))

    def contiguous(case: Case) -> bool:
        return not any(isinstance(each, KeyLengths | Paged) for each in case.variants)

    return {
        "decode_contiguous": (Part(whole, contiguous),),
        "decode_key_lengths": (stored(KeyLengths),),
        "decode_paged": (stored(Paged),),
        "decode_sequence": (sequences,),
    }
