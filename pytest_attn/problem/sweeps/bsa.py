"""The sweeps of the published block-sparse attention suite (BSA, `blitz_sparse_attention`): LSE, output, both.

Batch 1 and head_dim 128 throughout; every cell at all 16 block shapes. Unsatisfiable cells stay in the table, so
that the counts are those of the grid: 1600, 2560 and 320.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import BLOCK_SHAPES, FrameWidths
from pytest_attn.problem.sweep import Groups, register

HeadsAndLength = tuple[int, int]

HALF_TYPES = ("bfloat16", "float16")
SPARSITIES = (0.3, 0.5, 0.7, 0.9)
DENSE_VS_FIAS: tuple[HeadsAndLength, ...] = (
    *((1, 1024), (2, 1024), (4, 2048), (4, 4096), (8, 4096), (2, 8192), (4, 8192)),
    *((2, 12288), (4, 12288), (2, 16384), (4, 16384), (1, 24000), (2, 24000), (4, 24000)),
)
SPARSE_LENGTHS = (1024, 2048, 4096, 8192, 12288, 16384, 20480, 24000)
FRAMED_LENGTHS = (16384, 24000)
MULTIHEAD: tuple[HeadsAndLength, ...] = ((2, 512), (4, 512), (2, 1024), (4, 1024))
ZERO_INPUT: tuple[HeadsAndLength, ...] = ((1, 512), (2, 1024), (4, 4096), (4, 16384), (2, 24000))
SHAPE_AND_DTYPE: tuple[HeadsAndLength, ...] = ((1, 512), (8, 8192), (4, 24000))
LSE_DISABLED: tuple[HeadsAndLength, ...] = ((2, 512), (8, 8192), (4, 24000))
JOINT_DENSE: tuple[HeadsAndLength, ...] = (
    *((1, 1024), (2, 2048), (4, 4096), (8, 4096)),
    *((4, 8192), (2, 12288), (8, 16384)),
)
JOINT_SPARSE = ((4096, 0.3), (4096, 0.5), (8192, 0.3), (8192, 0.5), (8192, 0.7), (16384, 0.7))
ATTN_HEADS = (1, 2, 3, 4)
ATTN_LENGTHS = (24000, 36000)
ATTN_SPARSITIES = tuple(tenths / 10 for tenths in range(10))


def _dense(shapes: Iterable[HeadsAndLength], dtypes: Iterable[str], **fields: object) -> tuple[Case, ...]:
    return tuple(
        Case(length, length, query_heads=heads, dtype=dtype, block_shape=block_shape, **fields)  # type: ignore[arg-type]
        for (heads, length), dtype, block_shape in product(shapes, dtypes, BLOCK_SHAPES)
    )


def _sparse(
    cells: Iterable[tuple[HeadsAndLength, float]], *, framed: bool = False, **fields: object
) -> tuple[Case, ...]:
    return tuple(
        Case(
            length,
            length,
            query_heads=heads,
            sparsity=sparsity,
            block_shape=block_shape,
            frame=FrameWidths.small(block_shape) if framed else None,
            **fields,  # type: ignore[arg-type]
        )
        for ((heads, length), sparsity), block_shape in product(cells, BLOCK_SHAPES)
    )


def _one_head(lengths: Iterable[int]) -> tuple[HeadsAndLength, ...]:
    return tuple((1, length) for length in lengths)


@register("bsa-lse", "the log-sum-exp of the published BSA suite", published=True)
def bsa_lse() -> Groups:
    """1600 cells, of which 125 are unsatisfiable: 18 sparse, 15 framed, 92 multi-head."""
    sparse = product(_one_head(SPARSE_LENGTHS), SPARSITIES)
    framed = product(_one_head(FRAMED_LENGTHS), SPARSITIES)
    return {
        "lse_vs_fias": _dense(DENSE_VS_FIAS, HALF_TYPES, ask="lse", oracle="fias"),
        "lse_vs_fias_sparse": _sparse(sparse, ask="lse", oracle="fias"),
        "lse_vs_fias_sparse_framed": _sparse(framed, framed=True, ask="lse", oracle="fias"),
        "lse_sparse_multihead": _sparse(product(MULTIHEAD, SPARSITIES), ask="lse", oracle="loop"),
        "lse_zero_input": _dense(ZERO_INPUT, HALF_TYPES, recipe="zeros", ask="lse", oracle="analytic"),
        "lse_shape_and_dtype": _dense(SHAPE_AND_DTYPE, ["bfloat16"], ask="lse", oracle="exact"),
        "lse_disabled_returns_empty": _dense(LSE_DISABLED, ["bfloat16"], ask="out", oracle="exact"),
    }


@register("bsa-attn", "the output of the published BSA suite", published=True)
def bsa_attn() -> Groups:
    """2560 cells, of which 28 are unsatisfiable. Sparsity 0 is a block mask that keeps every block."""
    shapes = tuple(product(ATTN_HEADS, ATTN_LENGTHS))
    cells = tuple(product(shapes, ATTN_SPARSITIES))
    return {
        "attn_vs_pfa": _sparse(cells, ask="out", oracle="exact"),
        "attn_vs_pfa_framed": _sparse(cells, framed=True, ask="out", oracle="exact"),
    }


@register("bsa-joint", "output and log-sum-exp of one call, of the published BSA suite", published=True)
def bsa_joint() -> Groups:
    """320 cells, all satisfiable, each judged on output and log-sum-exp of one call."""
    sparse = [((1, length), sparsity) for length, sparsity in JOINT_SPARSE]
    return {
        "joint_attn_and_lse_dense": _dense(JOINT_DENSE, HALF_TYPES, ask="both", oracle="fias"),
        "joint_attn_and_lse_sparse": _sparse(sparse, ask="both", oracle="fias"),
    }
