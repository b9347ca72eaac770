"""Small cells at the edges of tiles, with inputs that make bugs visible, and the lengths at which kernels change."""

from __future__ import annotations

from functools import cache

from pytest_attn.problem.case import Case
from pytest_attn.problem.design import Covered, Design, Part
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.sweeps.axes import DIMS, completed, crossed_axes, of_sizes, rows_of, small_case_of
from pytest_attn.problem.sweeps.thresholds import thresholds

FEWEST = 400
"""Crossed cells, with variants or without, even of a narrow claim."""


@cache
def crossed() -> Design:
    """Every pair and 96 % of the triples of values of all axes without variants."""
    return Design(crossed_axes(), small_case_of, (Covered(3, 0.96),), fewest=FEWEST, of_sizes=of_sizes)


@register("boundary", "lengths at the edges of tiles, inputs that make bugs visible; all pairs, 96 % of triples")
def boundary() -> Groups:
    """The crossed cells by mask, and cells of more than a few hundred tokens."""

    def masked(causal: str | None, blocks: bool) -> Part:
        def keeps(case: Case) -> bool:
            return case.causal == causal and (case.sparsity is not None) == blocks

        return Part(crossed(), keeps)

    return {
        "boundary_dense": (masked(None, False),),
        "boundary_causal": (masked("bottom-right", False),),
        "boundary_causal_top_left": (masked("top-left", False),),
        "boundary_block_sparse": (masked(None, True),),
        "boundary_block_sparse_causal": (masked("bottom-right", True), masked("top-left", True)),
        "boundary_head_dims": (_long_head_dims(),),
        **thresholds(),
    }


def _long_head_dims() -> Design:
    """Every head dimension in decoding, and at 1000 queries and more."""
    lengths = ((1, 1025), (1, 2049), (5, 4097), (16, 1500), (1025, 1025), (1100, 33))
    axes = {
        "dtype": tuple(data_types()),
        "recipe": ("normal", "needle", "growing", "large"),
        "heads": ((1, 1), (2, 1)),
        "ask": ("both", "out"),
        "causal": (None, "bottom-right"),
    }
    return completed(rows_of(dims=DIMS, lengths=lengths), axes)
