"""Lengths on both sides of those at which kernels change their path, tiles their count, and integers their sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.design import Design, Row
from pytest_attn.problem.sweep import Groups
from pytest_attn.problem.sweeps.axes import DIMS, LAYOUTS, case_of, completed
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, NumSplits, Packed, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import DTYPES

THRESHOLDS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
"""Powers of two at which paths, splits and integers of fewer bits end."""

SHORT, LONG = THRESHOLDS[:5], THRESHOLDS[5:]
"""Those at which a few key heads of any width cost next to nothing, and those at which they do not."""

LONGEST = 131072

QUERIES = (1, 2, 3, 5, 8, 16)
"""One new token, drafts of speculative decoding, and the fewest rows of a matrix instruction."""

HEADS = ((1, 1), (2, 1), (2, 2), (4, 1), (4, 2))
"""(query heads, key heads): groups of 1, 2 and 4."""

AXES: Mapping[str, tuple[Any, ...]] = {
    "queries": QUERIES,
    "dtype": DTYPES,
    "recipe": ("growing", "normal", "needle", "large"),
    "heads": HEADS,
    "batch": (1, 2),
    "causal": (None, "bottom-right"),
    "dims": ((64, 64), (128, 128), (256, 256)),
    "ask": ("both", "out"),
}
"""What changes from cell to cell where it costs next to nothing."""

NARROW = {**AXES, "heads": HEADS[:2], "batch": (1,), "dims": ((64, 64),)}
"""The same for one key head of 64 columns: what a long cell costs is reading its keys."""

RAGGED: tuple[tuple[Variant, ...], ...] = (
    *((KeyLengths(),), (Packed(),), (Paged(16),), (Paged(1),), (Paged(128),)),
    *((KeyLengths(), WindowSize(127, 0)), (Paged(64), WindowSize(1000, 0)), (Paged(16), Alibi())),
)
"""Variants with lengths of their own, and windows and slopes that end where these do."""

CARRIED: tuple[tuple[Variant, ...], ...] = (
    *((WindowSize(127, 0),), (WindowSize(None, 16),), (WindowSize(1000, 0),)),
    *((Bias(),), (Bias(per_head=True),), (Bias(per_batch=True, per_head=True),)),
    *((Alibi(),), (Softcap(30.0),), (Sinks(),), (NumSplits(3),), (NumSplits(16),)),
    *RAGGED,
)

FEW_KEYS = (1, 5, 17, 64)
OF_ROWS: tuple[tuple[Variant, ...], ...] = (
    *((), (WindowSize(3, 0),), (Bias(),), (Bias(per_head=True),), (Alibi(),), (Softcap(2.0),), (Sinks(),)),
    *(RAGGED[:3]),
)
"""What may count rows in a way of its own: no variant, and each of them."""

SELF_LENGTHS = (1023, 1025, 2047, 2049, 4097)

LONG_DIMS = ((128, 128), (80, 80), (96, 96), (192, 128))
"""Beside 64 and 256, those that models decode with, each in one long cache."""

PREFILL = (1100, 1100)
"""Queries and keys of a prefill that has whole tiles, and a part of one, beyond 1024."""

SHORT_PREFILL = (600, 600)
"""The same beyond 512."""

MOST_PAIRS = 5 * 2**20
"""Pairs of query and key, of all heads, of a prefill: four heads of 1100 tokens."""

PREFILL_MASKS: tuple[dict[str, Any], ...] = ({}, {"causal": "bottom-right"}, {"causal": "top-left"})
MANY_BLOCKS: tuple[dict[str, Any], ...] = tuple(
    {"block_shape": shape, "sparsity": 0.5, **causal}
    for shape, causal in product(((64, 64), (16, 32)), ({}, PREFILL_MASKS[1]))
)
"""Block masks of more than 32 key blocks in 2100 keys: more than one word of bits."""


def thresholds() -> Groups:
    """The groups of `boundary` at thresholds: of keys, of keys with variants, of queries, of both."""
    return {
        "boundary_many_keys": _many_keys(),
        "boundary_many_keys_variants": _many_keys_variants(),
        "boundary_many_queries": (_many_queries(),),
        "boundary_long_causal": (_long_causal(),),
        "boundary_prefill": _prefill(),
    }


def _far_beyond(threshold: int) -> int:
    """A length by an eighth beyond a threshold, which no tile divides."""
    return threshold + threshold // 8 + 3


def _case(queries: int, keys: int, **fields: Any) -> Case | None:
    return case_of((queries, keys), **fields)


def _cells(rows: Sequence[Row], axes: Mapping[str, Sequence[Any]]) -> Design:
    return completed(tuple(rows), axes, _case)


def _of_variants(variants: tuple[Variant, ...]) -> Row:
    """Of two sequences one is as long as the tensors, the one of a batch of one is not."""
    return {"variants": variants, "batch": 2} if variants in RAGGED else {"variants": variants}


def _many_keys() -> tuple[Design, ...]:
    short: list[Row] = [
        {"keys": keys, "dims": dims, **queries}
        for threshold in SHORT
        for keys in (threshold - 1, threshold, threshold + 1, _far_beyond(threshold))
        for dims in ((64, 64), (256, 256))
        for queries in ({"queries": 1}, {})
    ]
    lengths = [keys for each in LONG for keys in (each - 1, each + 1, _far_beyond(each))]
    long: list[Row] = [{"keys": keys, **queries} for keys in lengths for queries in ({"queries": 1}, {})]
    long += [{"keys": each + 1, "queries": 1, "dims": (256, 256), "dtype": "bfloat16"} for each in LONG]
    long += [{"keys": LONG[0] + 1, "queries": 1, "dims": dims} for dims in LONG_DIMS]
    long += [{"keys": LONGEST + 1, "queries": 1, "ask": ask} for ask in ("both", "out")]
    return _cells(short, AXES), _cells(long, NARROW)


def _many_keys_variants() -> tuple[Design, ...]:
    def rows(variants: tuple[Variant, ...], number: int, lengths: tuple[int, ...]) -> Iterator[Row]:
        for turn, keys in enumerate(lengths, start=number):
            yield {**_of_variants(variants), "keys": keys, **({"queries": 1} if turn % 2 else {})}

    short = tuple(keys for each in SHORT for keys in (each + 1, _far_beyond(each)))
    long = tuple(each + 1 for each in LONG)
    found = [[row for number, each in enumerate(CARRIED) for row in rows(each, number, some)] for some in (short, long)]
    longest = [{**_of_variants(each), "keys": LONGEST + 1, "queries": 1} for each in ((Paged(128),), CARRIED[0])]
    return _cells(found[0], AXES), _cells([*found[1], *longest], NARROW)


def _many_queries() -> Design:
    axes = {**NARROW, "keys": FEW_KEYS, "causal": (None, "bottom-right", "top-left")}
    thresholds = (*SHORT[::2], LONG[-1])
    rows: list[Row] = [{**_of_variants(each), "queries": count + 65} for count in thresholds for each in OF_ROWS]
    dear = [{**row, "heads": (1, 1)} if row["queries"] > LONG[0] else row for row in rows]
    return _cells(dear, axes)


def _long_causal() -> Design:
    """Queries and keys are as many, as in training and prefill."""
    rows: list[Row] = [
        {"queries": length, "keys": length, "dims": (dim, dim), "causal": "bottom-right"}
        for length, dim in (*((length, 64) for length in SELF_LENGTHS), (1025, 128), (2049, 128), (1025, 256))
    ]
    return _cells(rows, {**AXES, "heads": ((1, 1), (2, 1)), "batch": (1,), "recipe": ("normal", "needle")})


def _prefill() -> tuple[Design, ...]:
    """Hundreds of queries and keys, or a thousand, with each mask, group, form of memory and variant."""
    axes = {
        **{name: AXES[name] for name in ("dtype", "recipe", "batch", "ask")},
        "lengths": (PREFILL, SHORT_PREFILL),
        "mask": PREFILL_MASKS,
        "heads": HEADS[:3],
        "dims": DIMS,
        "layout": LAYOUTS,
    }
    rows: list[Row] = [{"lengths": PREFILL, "heads": heads, "batch": 1} for heads in ((3, 1), (4, 1))]
    rows += [{"lengths": SHORT_PREFILL, "heads": heads, "batch": 1} for heads in ((7, 1), (8, 1), (6, 3))]
    rows += [{"lengths": PREFILL, "batch": 2, "mask": mask} for mask in PREFILL_MASKS]
    rows += [{"lengths": PREFILL, "layout": layout} for layout in LAYOUTS[1:]]
    rows += [{"lengths": (200, 2100), "mask": mask} for mask in MANY_BLOCKS]
    varied: list[Row] = [{"lengths": PREFILL, "heads": (1, 1), **_of_variants(each)} for each in CARRIED]
    return completed(tuple(rows), axes, _short_of_pairs), completed(tuple(varied), axes, _short_of_pairs)


def _short_of_pairs(**fields: Any) -> Case | None:
    case = case_of(**fields)
    if case is None or case.batch * case.query_heads * case.query_length * case.key_length > MOST_PAIRS:
        return None
    return case
