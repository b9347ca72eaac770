"""Small cells at the edges of tiles, with inputs that make bugs visible: pairwise over all axes of each kind of
problem.

Every pair of values of two axes occurs in some cell of a group; the full product would be ten thousand times as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, get_args

from allpairspy import AllPairs

from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import FrameWidths
from pytest_attn.problem.relations import Relation, relation_exists
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.sweeps.head_dims import head_dims
from pytest_attn.problem.sweeps.self_attention import self_attention
from pytest_attn.problem.sweeps.thresholds import thresholds
from pytest_attn.problem.vocabulary import DTYPES, GRADIENT_RECIPES, Recipe

LENGTHS = (
    *((1, 1), (1, 65), (1, 129), (2, 127), (3, 515), (7, 64), (63, 63), (64, 64), (65, 65), (65, 1)),
    *((127, 128), (128, 127), (129, 129), (129, 257), (257, 129), (131, 131), (251, 509), (300, 100), (100, 300)),
)
"""(queries, keys): one, a tile of 64 or 128, one beside it, primes, more queries than keys and fewer."""

HEAD_DIMS = (16, 32, 40, 64, 72, 80, 96, 128, 192, 256)
HEAD_AND_VALUE_DIMS = (*((d, d) for d in HEAD_DIMS), (64, 32), (96, 128), (192, 128), (40, 64))
HEADS = ((1, 1), (2, 2), (3, 1), (4, 2), (7, 1), (8, 8))
"""(query heads, key heads): groups of 1, 2, 3 and 7."""

BATCHES = (1, 2, 3)
SCALES = (None, 0.05, 0.3)
RECIPES: tuple[Recipe, ...] = tuple(recipe for recipe in get_args(Recipe) if recipe not in GRADIENT_RECIPES)
BLOCK_SHAPES = ((64, 64), (128, 128), (16, 32), (32, 128), (128, 32), (96, 80))
SPARSE_LENGTHS = ((129, 257), (257, 129), (200, 1000), (300, 300), (512, 384), (640, 130))
SPARSITIES = (0.2, 0.5, 0.75)
FRAMES = (None, FrameWidths(1, 0, 0, 1), FrameWidths(0, 1, 1, 0))

Axes = Mapping[str, Sequence[Any]]


def pairwise(axes: Axes, build: Callable[..., Case | None]) -> tuple[Case, ...]:
    """Cases in which every pair of values of two axes occurs, as far as `build` makes a case of it (None where no such
    case exists)."""
    names = list(axes)

    def exists(values: Sequence[Any]) -> bool:
        return len(values) < len(names) or build(**dict(zip(names, values, strict=True))) is not None

    rows: Iterator[Sequence[Any]] = AllPairs([list(values) for values in axes.values()], filter_func=exists)
    found = (build(**dict(zip(names, row, strict=True))) for row in rows)
    return tuple(dict.fromkeys(case for case in found if case is not None))


def _case(
    lengths: tuple[int, int], dims: tuple[int, int], heads: tuple[int, int] = (1, 1), **fields: Any
) -> Case | None:
    case = Case(*lengths, head_dim=dims[0], value_dim=dims[1], query_heads=heads[0], key_heads=heads[1], **fields)
    return None if case.unsatisfiable else case


PLAIN: Axes = {
    "lengths": LENGTHS,
    "recipe": RECIPES,
    "dims": [(d, d) for d in HEAD_DIMS],
    "heads": ((1, 1), (3, 3)),
    "batch": (1, 2),
    "dtype": DTYPES,
    "ask": ("out",),
}
WHOLE: Axes = {
    "lengths": LENGTHS,
    "recipe": RECIPES,
    "dims": HEAD_AND_VALUE_DIMS,
    "heads": HEADS,
    "batch": BATCHES,
    "dtype": DTYPES,
    "scale": SCALES,
    "ask": ("both", "lse", "out"),
}


FEW_RECIPES: tuple[Recipe, ...] = ("normal", "needle", "growing", "largevalue")
RELATED_RECIPES: tuple[Recipe, ...] = ("normal", "needle", "growing", "large")
FEW_LENGTHS = ((1, 129), (65, 65), (127, 128), (129, 257), (131, 131), (257, 129), (300, 100))
ANY_MASK = (
    *({}, {"causal": "bottom-right"}, {"causal": "top-left"}),
    *({"block_shape": shape, "sparsity": 0.5} for shape in ((64, 64), (32, 128), (96, 80))),
)
"""Fields of a case that choose its mask."""

REPEATED: Axes = {
    "lengths": FEW_LENGTHS,
    "recipe": FEW_RECIPES,
    "dims": ((40, 40), (64, 64), (128, 128), (64, 32)),
    "heads": ((1, 1), (3, 3), (4, 2)),
    "batch": (1, 2),
    "dtype": DTYPES,
    "mask": ANY_MASK,
    "ask": ("both", "out"),
}
"""The axes of the groups that differ in how the kernel is called."""


def _masked(mask: Mapping[str, Any], **fields: Any) -> Case | None:
    return _case(**fields, **mask)


RELATED: Mapping[Relation, Axes] = {
    "permutedkeys": {"mask": ANY_MASK[:1]},
    "shiftedkeys": {},
    "duplicatedkeys": {"mask": ANY_MASK[:1]},
    "splitkeys": {"mask": ANY_MASK[:1], "ask": ("both", "lse")},
    "expandedheads": {"heads": ((3, 1), (4, 2), (8, 2))},
    "hiddenkeys": {"mask": ANY_MASK[1:]},
    "summedvalues": {"ask": ("both", "out")},
    "lonehead": {"heads": ((3, 3), (4, 2), (7, 1))},
    "lastrow": {"mask": ANY_MASK[1:2]},
}
"""The axes in which the cells of a relation differ from the repeated ones: those for which it exists."""


def _related(oracle: Relation, **fields: Any) -> Case | None:
    case = _masked(**fields)
    return replace(case, oracle=oracle) if case and relation_exists(oracle, case) else None


def relations() -> tuple[Case, ...]:
    """Cells of every relation, pairwise over its axes."""
    axes = {**REPEATED, "recipe": RELATED_RECIPES, "ask": ("both", "out", "lse")}
    found = (pairwise({**axes, **own, "oracle": (name,)}, _related) for name, own in RELATED.items())
    return tuple(chain.from_iterable(found))


def float64() -> tuple[Case, ...]:
    """Cells of float64, few, as only kernels that sum in it claim it."""
    axes: Axes = {
        "lengths": ((1, 129), (65, 65), (129, 257), (300, 100)),
        "dims": ((64, 64), (40, 64)),
        "heads": ((2, 2), (4, 2)),
        "recipe": ("normal", "large", "needle", "negative"),
        "mask": ANY_MASK[:3],
        "oracle": ("exact", "again", "sequence", "permutedkeys", "splitkeys", "hiddenkeys"),
        "dtype": ("float64",),
    }
    return pairwise(axes, _related)


@register("boundary", "lengths at the edges of tiles, inputs that make bugs visible; pairwise")
def boundary() -> Groups:
    """Dense, causal and block-sparse problems, each with every recipe."""
    sparse = {
        **WHOLE,
        "lengths": SPARSE_LENGTHS,
        "dims": ((64, 64), (128, 128), (40, 64)),
        "heads": ((1, 1), (2, 2), (4, 2)),
        "batch": (1, 2),
        "scale": (None, 0.3),
        "block_shape": BLOCK_SHAPES,
        "sparsity": SPARSITIES,
        "frame": FRAMES,
    }
    return {
        "boundary_output": pairwise(PLAIN, _case),
        "boundary_dense": pairwise(WHOLE, _case),
        "boundary_causal": pairwise({**WHOLE, "causal": ("bottom-right",)}, _case),
        "boundary_causal_top_left": pairwise({**WHOLE, "causal": ("top-left",)}, _case),
        "boundary_block_sparse": pairwise(sparse, _case),
        "boundary_strided": pairwise({**REPEATED, "layout": ("strided",)}, _masked),
        "boundary_again": pairwise({**REPEATED, "oracle": ("again",)}, _masked),
        "boundary_sequence": pairwise({**REPEATED, "oracle": ("sequence",)}, _masked),
        "boundary_relations": relations(),
        "boundary_float64": float64(),
        **self_attention(),
        **head_dims(),
        **thresholds(),
    }
