"""The axes that drawn sweeps cross: what kernels have paths of their own for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, get_args

from pytest_attn.problem.case import Case
from pytest_attn.problem.design import Axes, Design, Row
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.frame import FrameWidths
from pytest_attn.problem.relations import Relation
from pytest_attn.problem.turns import InTurn, Sizes
from pytest_attn.problem.vocabulary import GRADIENT_RECIPES, Recipe

_ROUNDEST_FIRST = sorted(set(range(66, 192)) - {127, 128, 129, 191}, key=lambda n: (-(n & -n), n))
"""Lengths of every residue to tiles of 64 and 128 but those beside it; multiples of 32 first, for kernels that need
them."""

LENGTHS = (
    # Fewer queries than keys, which fill tiles, are one more, one less, or lie between.
    *(InTurn((64, 128), (127, 128), (7, 64), (100, 256)), InTurn((129, 257), (2, 129), (63, 65), (130, 193))),
    *(InTurn((65, 191), (2, 127), (64, 127), (100, 255)), InTurn((64, 96), (100, 300), (251, 509), (3, 515), (5, 131))),
    # As many.
    *(InTurn((128, 128), (64, 64), (192, 192)), InTurn((129, 129), (65, 65), (257, 257), (193, 193))),
    *(InTurn((127, 127), (63, 63), (191, 191)), InTurn(*((length, length) for length in _ROUNDEST_FIRST))),
    # One query.
    *(InTurn((1, 128), (1, 64), (1, 256)), InTurn((1, 129), (1, 65), (1, 257), (1, 1))),
    *(InTurn((1, 127), (1, 63), (1, 255)), InTurn((1, 80), (1, 300), (1, 131), (1, 48))),
    # More queries than keys.
    *(InTurn((192, 128), (127, 64), (129, 128)), InTurn((257, 129), (100, 65), (65, 1), (300, 193))),
    *(InTurn((128, 127), (300, 127), (192, 63)), InTurn((128, 96), (300, 100), (131, 80), (200, 66))),
)
"""(queries, keys): each way in which one length lies to the other and the keys to tiles of 64, in sizes that change."""

HEAD_DIMS = (64, 128, 16, 32, 40, 72, 80, 96, 192, 256)
DIMS = (*((dim, dim) for dim in HEAD_DIMS), (64, 32), (96, 128), (192, 128), (40, 64))
"""(head dimension, that of values)."""

HEADS = (
    *(InTurn((2, 2), (1, 1), (3, 3), (8, 8)), InTurn((4, 2), (2, 1), (6, 3)), InTurn((3, 1), (6, 2))),
    *(InTurn((8, 2), (4, 1)), InTurn((7, 1)), InTurn((8, 1), (16, 2))),
)
"""(query heads, key heads): groups of 1, 2, 3, 4, 7 and 8."""

SOME_HEADS = ((1, 1), (2, 2), (2, 1), (3, 3), (4, 2), (8, 8), (8, 2))
"""Heads for cells in which they cost much, fewest first."""

RECIPES: tuple[Recipe, ...] = tuple(recipe for recipe in get_args(Recipe) if recipe not in GRADIENT_RECIPES)

_SHAPES = ((16, 32), (64, 64), (32, 128), (128, 32), (96, 80), (128, 128), (128, 64), (64, 128))
_SPARSITIES = (0.5, 0.2, 0.75)
_FRAMES = (None, FrameWidths(1, 0, 0, 1), None, FrameWidths(0, 1, 1, 0))
_BLOCKS = tuple(
    {"block_shape": _SHAPES[turn % 8], "sparsity": _SPARSITIES[turn % 3], "frame": _FRAMES[turn // 8 % 4]}
    for turn in range(96)
)


_CAUSAL: tuple[dict[str, Any], ...] = ({}, {"causal": "bottom-right"}, {"causal": "top-left"})


def _blocks(patterns: Sequence[dict[str, Any]]) -> tuple[InTurn, ...]:
    """Block masks alone and under each causal one."""
    return tuple(InTurn(*({**blocks, **causal} for blocks in patterns)) for causal in _CAUSAL)


MASKS = (*map(InTurn, _CAUSAL), *_blocks(_BLOCKS))
"""Fields of a case that choose its mask; block masks of every shape, sparsity and frame in turn."""

MOST_NUMBERS = 2**19
"""Numbers in a tensor of a crossed cell: 8 heads of 256 tokens and 256 columns. A bug that shows in more
shows in these, and the few cells that held more took a third of the time of all."""

ORACLES = ("exact", "again", "sequence", *get_args(Relation))
LAYOUTS = ("contiguous", "strided", "bsnd")


def crossed_axes() -> Axes:
    """What every kernel has: lengths, head dimensions, heads, masks, data types, memory, inputs and calls."""
    return {
        "lengths": LENGTHS,
        "dims": DIMS,
        "recipe": RECIPES,
        "oracle": ORACLES,
        "mask": MASKS,
        "heads": HEADS,
        "dtype": tuple(data_types()),
        "ask": ("out", "both", "lse"),
        "layout": LAYOUTS,
        "batch": (1, 2, 3),
        "scale": (None, 0.05, 0.3),
    }


def of_sizes(sizes: Sizes) -> Axes:
    """Values of these axes for sizes that a kernel claims by name and no value has."""
    usual = {size for shape in _SHAPES for size in shape}
    blocks = [size for size in sizes.get("block_sizes", ()) if size not in usual]
    known = {key_heads for turn in HEADS for _, key_heads in turn.values}
    return {
        "dims": tuple((dim, dim) for dim in sizes.get("head_dims", ()) if dim not in HEAD_DIMS),
        "heads": tuple(InTurn((own, own), (2 * own, own)) for own in sizes.get("key_heads", ()) if own not in known),
        "mask": _blocks([{"block_shape": (size, size), "sparsity": 0.5} for size in blocks]) if blocks else (),
    }


def case_of(lengths: tuple[int, int], dims: tuple[int, int], heads: tuple[int, int], **fields: Any) -> Case | None:
    """The case of (queries, keys), (head dimension, that of values), (query heads, key heads) and further fields, of
    which `mask` holds several; None where they contradict each other."""
    fields |= dict(zip(("head_dim", "value_dim", "query_heads", "key_heads"), (*dims, *heads), strict=True))
    fields |= fields.pop("mask", {})
    try:
        case = Case(*lengths, **fields)
    except ValueError:
        return None
    return None if case.unsatisfiable else case


def small_case_of(**fields: Any) -> Case | None:
    """`case_of`, and None where a tensor of the case has more than `MOST_NUMBERS`."""
    case = case_of(**fields)
    return case if case is not None and _numbers(case) <= MOST_NUMBERS else None


def _numbers(case: Case) -> int:
    """Numbers in the largest tensor of a case, were keys given to every query head."""
    tokens = case.batch * max(case.query_length, case.key_length)
    return tokens * case.query_heads * max(case.head_dim, case.value_dim or 0)


def rows_of(**values: Any) -> tuple[Row, ...]:
    """Every combination of values of some axes."""
    return tuple(dict(zip(values, row, strict=True)) for row in product(*values.values()))


def completed(rows: tuple[Row, ...], axes: Axes, build: Any = case_of) -> Design:
    """A cell of each row, and in those the values of the other axes equally often, beside and with each other."""
    return Design(axes, build, covers=(), rows=rows, of_sizes=of_sizes, instead={"dims": DIMS, "heads": SOME_HEADS})
