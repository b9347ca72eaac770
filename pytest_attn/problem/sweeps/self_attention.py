"""Causal self-attention: as many queries as keys, of every residue to the usual tiles."""

from __future__ import annotations

from itertools import product

from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import Groups
from pytest_attn.problem.sweeps.spread import Row, case_of, spread
from pytest_attn.problem.vocabulary import DTYPES

LENGTHS = range(65, 193)
"""128 in a row: every residue to tiles of 128, and so of 64, of 1 to 3 tiles."""

USUAL_DIMS = ((64, 64), (128, 128))
OTHER_DIMS = ((32, 32), (40, 40), (72, 72), (80, 80), (96, 96), (192, 128), (256, 256))

ASKS = ("out", "both")
AXES = {
    "heads": ((1, 1), (2, 1), (2, 2), (6, 2)),
    "batch": (1, 2),
    "recipe": ("normal", "needle", "growing", "large", "keycoded", "columncoded"),
}


def self_attention() -> Groups:
    """The group of `boundary` of every length and data type; half of it with the head dimensions of most models."""
    rows: tuple[list[Row], list[Row]] = ([], [])
    for length, (turn, dtype) in product(LENGTHS, enumerate(DTYPES)):
        # Of the two lengths of a residue to 64, one asks for the output alone.
        ask = ASKS[(length // 64 + length + turn) % 2]
        rows[(length // 2 + turn) % 2].append({"length": length, "dtype": dtype, "ask": ask})
    usual = spread(rows[0], {**AXES, "dims": USUAL_DIMS}, _case)
    return {"boundary_self_attention": usual + spread(rows[1], {**AXES, "dims": OTHER_DIMS}, _case)}


def _case(length: int, dims: tuple[int, int], heads: tuple[int, int], **fields: object) -> Case | None:
    return case_of((length, length), dims, heads, causal="bottom-right", **fields)
