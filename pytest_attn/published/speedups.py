"""Speedup against sparsity: one curve to a shape, all over the time of the dense reference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_attn.published.bsa_table import Row

GRID_SPARSITIES = (0.3, 0.5, 0.8)
"""The sparsities of the published grid."""


class Shape(NamedTuple):
    """What the rows of a curve have in common."""

    batch: int
    heads: int
    query_length: int
    key_length: int
    head_dim: int
    block_shape: tuple[int, int]

    @staticmethod
    def of(row: Row) -> Shape:
        """The shape of a row."""
        return Shape(row.batch, row.heads, row.query_length, row.key_length, row.head_dim, row.block_shape)

    @property
    def problem(self) -> str:
        """Batch, heads, length and head dimension, as the published title has them; both lengths where they differ."""
        keys = "" if self.key_length == self.query_length else f"x{self.key_length}"
        return f"BNSD=({self.batch},{self.heads},{self.query_length}{keys},{self.head_dim})"


@dataclass(frozen=True)
class Curve:
    """The speedups of one shape by sparsity, over the first time that its reference has: that of the dense one."""

    shape: Shape
    baseline: float
    points: tuple[tuple[float, float], ...]


def curves(rows: Iterable[Row]) -> tuple[list[Curve], list[Shape]]:
    """The curves, in the order of the rows, and the shapes whose reference was never timed. Rows without a time of the
    kernel have no point."""
    groups: dict[Shape, list[Row]] = {}
    for row in rows:
        groups.setdefault(Shape.of(row), []).append(row)
    found, without = [], []
    for shape, own in groups.items():
        baseline = next((row.reference for row in own if row.reference), None)
        if baseline is None:
            without.append(shape)
            continue
        points = sorted((row.sparsity, baseline / row.ours) for row in own if row.ours)
        if points:
            found.append(Curve(shape, baseline, tuple(points)))
    return found, without


def grid(found: Sequence[Curve], sparsities: Sequence[float] = GRID_SPARSITIES) -> str:
    """Markdown: a line to each query block and sparsity, a column to each key block; of one problem a table."""
    problems = dict.fromkeys(curve.shape.problem for curve in found)
    return "\n".join(
        _grid(problem, [curve for curve in found if curve.shape.problem == problem], sparsities) for problem in problems
    )


def _grid(problem: str, found: Sequence[Curve], sparsities: Sequence[float]) -> str:
    query_blocks, key_blocks = (sorted({curve.shape.block_shape[side] for curve in found}) for side in (0, 1))
    speedup = {(curve.shape.block_shape, sparsity): value for curve in found for sparsity, value in curve.points}
    lines = [
        f"Speedup over the dense reference, {problem}\n",
        f"| Q\\KV | sparsity | {' | '.join(map(str, key_blocks))} |",
        f"|---|---|{'---|' * len(key_blocks)}",
    ]
    for query_block in query_blocks:
        for sparsity in sparsities:
            cells = (speedup.get(((query_block, key_block), sparsity)) for key_block in key_blocks)
            words = " | ".join("" if cell is None else f"{cell:.2f}×" for cell in cells)  # noqa: RUF001
            lines.append(f"| {query_block} | {sparsity} | {words} |")
    return "\n".join(lines) + "\n"
