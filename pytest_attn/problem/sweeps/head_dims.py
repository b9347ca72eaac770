"""What a kernel compiles once for each head dimension, at each: memory, calls, caches, masks, gradients."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, get_args

from pytest_attn.problem.relations import Relation
from pytest_attn.problem.sweep import Groups
from pytest_attn.problem.sweeps.spread import Row, case_of, spread
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, NumSplits, Packed, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import DTYPES

HEAD_DIMS = (16, 32, 40, 64, 72, 80, 96, 128, 192, 256)
DIMS = (*((dim, dim) for dim in HEAD_DIMS), (64, 32), (96, 128), (192, 128), (40, 64))

AXES: Mapping[str, tuple[Any, ...]] = {
    "dtype": DTYPES,
    "recipe": ("normal", "needle", "growing", "large"),
    "lengths": ((65, 65), (129, 129), (67, 130), (130, 67)),
    "batch": (2, 1),
    "heads": ((2, 2), (4, 2), (3, 1), (1, 1)),
    "ask": ("both", "out"),
    "causal": (None, "bottom-right"),
}
"""What changes from cell to cell; last what relations and variants may refuse."""

CALLED: tuple[Row, ...] = (
    *({"layout": "strided", "oracle": oracle} for oracle in ("exact", "again", "sequence")),
    *({"layout": "bsnd", "oracle": oracle} for oracle in ("exact", "sequence")),
    *({"oracle": oracle} for oracle in ("again", "sequence", *get_args(Relation))),
)
"""How the kernel is called, and what its results are compared with."""

LONG: tuple[Row, ...] = (
    *({"lengths": lengths} for lengths in ((1, 1025), (1, 2049), (5, 4097), (16, 1500), (1025, 1025), (1100, 33))),
)
"""Decoding, and 1000 queries and more."""

VARIANTS: tuple[tuple[Variant, ...], ...] = (
    *((WindowSize(64, 0),), (WindowSize(33, 17),), (Packed(),), (KeyLengths(),), (Paged(16),), (Paged(64),)),
    *((Softcap(20.0),), (Alibi(),), (Bias(per_head=True),), (Sinks(),), (NumSplits(3),)),
    *((Paged(16), WindowSize(40, 0)), (KeyLengths(), Softcap(30.0))),
)
"""Variants at one query and at many, each a path of its own in most kernels."""

GRADIENTS: tuple[Row, ...] = (
    *({"causal": None, "lengths": lengths} for lengths in ((129, 129), (67, 130))),
    *({"causal": "bottom-right", "lengths": lengths} for lengths in ((129, 129), (67, 130))),
    *({"layout": "strided"}, {"oracle": "again"}),
)
VARIED_GRADIENTS: tuple[tuple[Variant, ...], ...] = ((WindowSize(64, 0),), (KeyLengths(),), (Packed(),))


def head_dims() -> Groups:
    """The groups of `boundary`."""
    called = [{"dims": dims, **row} for dims, row in product(DIMS, CALLED)]
    long = [{"dims": dims, **row} for dims, row in product(DIMS, LONG)]
    varied = [
        {"dims": dims, "variants": variants, **row}
        for dims, variants in product(DIMS, VARIANTS)
        for row in ({"lengths": (1, 300)}, {})
    ]
    few = {**AXES, "heads": ((1, 1), (2, 1)), "batch": (1,)}
    return {
        "boundary_head_dims": spread(called, AXES, case_of) + spread(long, few, case_of),
        "boundary_head_dims_variants": spread(varied, {**AXES, "batch": (2, 6)}, case_of),
    }


def head_dims_backward() -> Groups:
    """The groups of `backward`."""
    axes = {**AXES, "ask": ("grad",), "recipe": ("normal", "onehotgrad", "needle"), "batch": (1, 2)}
    plain = [{"dims": dims, **row} for dims, row in product(DIMS, GRADIENTS)]
    varied = [{"dims": dims, "variants": variants} for dims, variants in product(DIMS, VARIED_GRADIENTS)]
    return {
        "backward_head_dims": spread(plain, axes, case_of),
        "backward_head_dims_variants": spread(
            varied, {**axes, "batch": (3,), "recipe": ("normal", "onehotgrad")}, case_of
        ),
    }
