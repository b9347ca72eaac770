"""A few cells of every kind of problem; the first thing to run on a new kernel. Under a minute on two cores."""

from __future__ import annotations

from itertools import product

from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import BLOCK_SHAPES, FrameWidths
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.vocabulary import DTYPES, Alignment

BOUNDARY_LENGTHS = ((1, 1), (1, 127), (127, 1), (128, 128), (129, 257), (257, 129), (509, 509), (513, 511))
ALIGNMENTS: tuple[Alignment, ...] = ("bottom-right", "top-left")
MAYBE_CAUSAL: tuple[Alignment | None, ...] = (None, "bottom-right")
HEAD_AND_VALUE_DIMS = (*((d, d) for d in (16, 40, 64, 96, 128, 256)), (192, 128), (64, 96))


@register("smoke", "a few cells of every kind of problem")
def smoke() -> Groups:
    """Small cells at boundary shapes: dense, causal, grouped heads, head dims, scales, block-sparse, zero input."""
    return {
        "smoke_output": tuple(Case(q, k, dtype=dtype, ask="out") for (q, k), dtype in product(BOUNDARY_LENGTHS, DTYPES))
        + tuple(
            Case(130, 259, head_dim=d, value_dim=dv, dtype=dtype, ask="out")
            for (d, dv), dtype in product(HEAD_AND_VALUE_DIMS, DTYPES)
        ),
        "smoke_dense": tuple(Case(q, k, dtype=dtype) for (q, k), dtype in product(BOUNDARY_LENGTHS, DTYPES)),
        "smoke_causal": tuple(
            Case(q, k, dtype=dtype, query_heads=2, head_dim=64, causal=causal)
            for (q, k), dtype, causal in product(((1, 129), (129, 129), (127, 300), (300, 127)), DTYPES, ALIGNMENTS)
        ),
        "smoke_grouped_heads": tuple(
            Case(129, 200, batch=2, query_heads=q, key_heads=k, head_dim=64, dtype=dtype)
            for (q, k), dtype in product(((6, 2), (4, 1), (7, 1)), DTYPES)
        ),
        "smoke_head_dim": tuple(
            Case(130, 259, head_dim=d, value_dim=dv, dtype=dtype)
            for (d, dv), dtype in product(HEAD_AND_VALUE_DIMS, DTYPES)
        ),
        "smoke_scale": tuple(
            Case(200, 333, head_dim=64, scale=scale, dtype=dtype) for scale, dtype in product((0.01, 0.3, 1.0), DTYPES)
        ),
        "smoke_block_sparse": tuple(
            Case(1000, 2050, query_heads=2, dtype=dtype, sparsity=sparsity, block_shape=block_shape)
            for sparsity, block_shape, dtype in product((0.3, 0.6), BLOCK_SHAPES[::5], DTYPES)
        )
        + tuple(
            Case(2048, 2048, dtype=dtype, sparsity=0.4, block_shape=(128, 256), frame=FrameWidths.small((128, 256)))
            for dtype in DTYPES
        ),
        "smoke_zero_input": tuple(
            Case(q, k, dtype=dtype, recipe="zeros", oracle="analytic", causal=causal)
            for (q, k), dtype, causal in product(((100, 300), (300, 100)), DTYPES, MAYBE_CAUSAL)
        ),
    }
