"""Gradients of query, key and value: pairwise over what a backward pass can get wrong, and two cells of 1024 tokens."""

from __future__ import annotations

from dataclasses import replace

from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.sweeps.boundary import Axes, pairwise
from pytest_attn.problem.sweeps.head_dims import head_dims_backward
from pytest_attn.problem.variants import KeyLengths, Packed, WindowSize
from pytest_attn.problem.vocabulary import DTYPES, Recipe

LENGTHS = (
    *((1, 129), (7, 64), (64, 64), (65, 1), (65, 65)),
    *((127, 128), (129, 257), (257, 129), (131, 131), (300, 100)),
)
"""(queries, keys): one, a tile of 64 or 128, one beside it, a prime, more queries than keys and fewer."""

RECIPES: tuple[Recipe, ...] = ("normal", "onehotgrad", "constantcolumn", "large", "zeroquery", "needle")
HEADS = ((1, 1), (3, 3), (4, 2), (6, 1))
"""(query heads, key heads): groups of 1, 2 and 6."""

AXES: Axes = {
    "lengths": LENGTHS,
    "recipe": RECIPES,
    "dims": ((16, 16), (40, 40), (64, 64), (128, 128), (64, 32), (40, 64)),
    "heads": HEADS,
    "batch": (1, 2),
    "dtype": DTYPES,
    "scale": (None, 0.3),
}


def _case(lengths: tuple[int, int], dims: tuple[int, int], heads: tuple[int, int], **fields: object) -> Case | None:
    case = Case(
        *lengths,
        head_dim=dims[0],
        value_dim=dims[1],
        query_heads=heads[0],
        key_heads=heads[1],
        ask="grad",
        **fields,  # type: ignore[arg-type]
    )
    return None if case.unsatisfiable else case


FEWER: Axes = {
    **AXES,
    "lengths": ((1, 129), (65, 65), (129, 257), (257, 129)),
    "recipe": ("normal", "onehotgrad", "needle", "negative"),
    "dims": ((40, 40), (64, 64)),
    "scale": (None,),
}
"""The axes of the groups that differ in mask, memory or number of calls."""


FEWEST: Axes = {
    **FEWER,
    "lengths": ((65, 65), (129, 257)),
    "recipe": ("normal", "onehotgrad"),
    "dims": ((40, 40),),
    "heads": ((4, 2),),
    "batch": (2,),
    "causal": (None, "bottom-right"),
}
"""The axes of the groups of variants."""

WINDOWS = ((WindowSize(64, 0),), (WindowSize(None, 16),))
RAGGED = ((KeyLengths(),), (Packed(), WindowSize(33, None)))


@register("backward", "gradients of query, key and value; pairwise")
def backward() -> Groups:
    """Dense, causal, block-sparse, windowed and ragged problems, strided, called again, and long."""
    long = Case(1024, 1024, head_dim=64, query_heads=2, ask="grad")
    causal = replace(long, key_heads=1, causal="bottom-right")
    sparse = {
        **FEWER,
        "lengths": ((129, 257), (257, 129), (300, 300), (200, 500)),
        "block_shape": ((64, 64), (32, 128), (96, 80)),
        "sparsity": (0.5, 0.75),
    }
    return {
        "backward_dense": pairwise(AXES, _case),
        "backward_causal": pairwise({**AXES, "causal": ("bottom-right", "top-left")}, _case),
        "backward_block_sparse": pairwise(sparse, _case),
        "backward_window": pairwise({**FEWEST, "variants": WINDOWS}, _case),
        "backward_ragged": pairwise({**FEWEST, "batch": (6,), "variants": RAGGED}, _case),
        "backward_strided": pairwise({**FEWER, "layout": ("strided",), "causal": (None, "bottom-right")}, _case),
        "backward_again": pairwise({**FEWER, "oracle": ("again",), "causal": (None, "top-left")}, _case),
        **head_dims_backward(),
        "backward_long": tuple(replace(case, dtype=dtype) for case in (long, causal) for dtype in DTYPES),
    }
