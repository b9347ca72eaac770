"""Gradients of query, key and value: all pairs of what a backward pass can get wrong, and cells of 1024 tokens."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

from pytest_attn.problem.case import Case
from pytest_attn.problem.design import Design, Part, Row
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.sweeps.axes import case_of, completed, crossed_axes, of_sizes
from pytest_attn.problem.turns import InTurn
from pytest_attn.problem.variants import KeyLengths, Packed, WindowSize
from pytest_attn.problem.vocabulary import DTYPES, GRADIENT_ORACLES, Recipe

WINDOWS = ((WindowSize(64, 0),), (WindowSize(None, 16),), (WindowSize(33, 17),))
RAGGED = ((KeyLengths(),), (Packed(),), (Packed(), WindowSize(33, None)), (KeyLengths(), WindowSize(40, 0)))


FORWARD_RECIPES: tuple[Recipe, ...] = ("saturating", "hugevalue", "hugelogit")
"""Recipes for which the budget of gradients is not calibrated."""

RECIPES = tuple(recipe for recipe in get_args(Recipe) if recipe not in FORWARD_RECIPES)


@register("backward", "gradients of query, key and value; all pairs")
def backward() -> Groups:
    """Dense, causal, block-sparse, windowed and ragged problems, in any memory, called again, and long."""
    axes = {
        **crossed_axes(),
        "recipe": RECIPES,
        "oracle": GRADIENT_ORACLES,
        "ask": ("grad",),
        "batch": (1, 2, 6),
        "scale": (None, 0.3),
        "variants": (*(InTurn(()), InTurn(*WINDOWS)), InTurn(*RAGGED)),
    }
    crossed = Design(axes, case_of, of_sizes=of_sizes)

    def plain(causal: bool, blocks: bool) -> Part:
        def keeps(case: Case) -> bool:
            masked = (case.causal is not None) == causal, (case.sparsity is not None) == blocks
            return not case.variants and (blocks or masked[0]) and masked[1]

        return Part(crossed, keeps)

    def ragged(case: Case) -> bool:
        return any(isinstance(each, KeyLengths | Packed) for each in case.variants)

    return {
        "backward_dense": (plain(False, False),),
        "backward_causal": (plain(True, False),),
        "backward_block_sparse": (plain(False, True),),
        "backward_window": (Part(crossed, lambda case: bool(case.variants) and not ragged(case)),),
        "backward_ragged": (Part(crossed, ragged),),
        "backward_long": _long(),
    }


def _long() -> tuple[Design, ...]:
    """A thousand queries and keys in each dtype, and hundreds with each head dimension, group, memory and variant."""
    masks: tuple[dict[str, Any], ...] = ({}, {"causal": "bottom-right"}, {"causal": "top-left"})
    whole, short = (1024, 1024), (600, 600)
    axes = {
        "dtype": DTYPES,
        "mask": masks,
        "heads": ((2, 2), (2, 1), (1, 1)),
        "dims": ((64, 64), (128, 128)),
        "layout": ("contiguous", "strided"),
        "batch": (1,),
        "ask": ("grad",),
    }
    rows: list[Row] = [{"lengths": whole, "mask": mask, "dtype": dtype} for mask, dtype in product(masks[:2], DTYPES)]
    rows += [{"lengths": short, "mask": mask, "batch": 2} for mask in masks]
    rows += [
        {"lengths": short, "dims": dims, "mask": masks[1]} for dims in ((128, 128), (256, 256), (96, 96), (192, 128))
    ]
    rows += [{"lengths": short, "heads": heads, "mask": masks[1]} for heads in ((3, 1), (8, 1))]
    rows += [{"lengths": short, "mask": {"block_shape": (64, 64), "sparsity": 0.5}}]
    varied: list[Row] = [{"lengths": short, "variants": each, "batch": 2} for each in (*WINDOWS[:2], *RAGGED[:2])]
    return completed(tuple(rows), axes), completed(tuple(varied), axes)
