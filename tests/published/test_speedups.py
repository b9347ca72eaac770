"""Speedups of a table: the published grid from the published times, curves, and what has no baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_attn.published.bsa_table import Row, rows_of
from pytest_attn.published.speedups import curves, grid

ROWS = rows_of((Path(__file__).parent / "bsa_910b2.txt").read_text().splitlines(), "table")

PUBLISHED_GRID = {
    128: {0.3: (1.09, 1.28, 1.35, 1.29), 0.5: (1.34, 1.74, 1.89, 1.84), 0.8: (2.84, 4.19, 4.65, 4.63)},
    256: {0.3: (1.12, 1.30, 1.33, 1.28), 0.5: (1.38, 1.75, 1.84, 1.80), 0.8: (2.94, 4.30, 4.73, 4.63)},
    512: {0.3: (1.14, 1.31, 1.26, 1.25), 0.5: (1.40, 1.77, 1.73, 1.73), 0.8: (2.99, 4.21, 4.54, 4.60)},
    1024: {0.3: (1.14, 1.30, 1.22, 1.22), 0.5: (1.42, 1.79, 1.73, 1.77), 0.8: (3.05, 4.36, 4.60, 4.57)},
}


def test_the_published_grid_follows_from_the_published_times() -> None:
    speedup = {(curve.shape.block_shape, point[0]): point[1] for curve in curves(ROWS)[0] for point in curve.points}
    for query_block, own in PUBLISHED_GRID.items():
        for sparsity, cells in own.items():
            found = [speedup[(query_block, key_block), sparsity] for key_block in (128, 256, 512, 1024)]
            # One of the 48 was published cut off, not rounded.
            assert found == pytest.approx(cells, abs=0.0052)


def test_the_grid_has_a_line_to_each_query_block_and_sparsity() -> None:
    lines = grid(curves(ROWS)[0]).splitlines()
    assert lines[2:4] == ["| Q\\KV | sparsity | 128 | 256 | 512 | 1024 |", "|---|---|---|---|---|---|"]
    assert lines[4] == "| 128 | 0.3 | 1.09× | 1.28× | 1.35× | 1.29× |"  # noqa: RUF001
    assert len(lines) == 4 + 4 * 3


def test_the_best_published_speedup_is_that_of_the_text() -> None:
    best = {curve.shape.block_shape: max(curve.points)[1] for curve in curves(ROWS)[0]}
    assert round(best[128, 128], 2) == 6.39
    assert round(best[256, 1024], 2) == round(best[1024, 1024], 2) == 9.77


def test_all_sparsities_are_compared_with_the_first_time_of_the_reference() -> None:
    shape = [replace(ROWS[0], reference=100.0, ours=200.0), replace(ROWS[1], reference=500.0, ours=50.0)]
    assert curves(shape)[0][0].points == ((0.0, 0.5), (0.05, 2.0))


def test_a_shape_whose_reference_has_no_time_is_named() -> None:
    alone = [row for row in ROWS if row.sparsity > 0]
    found, without = curves([*alone, replace(ROWS[0], block_shape=(64, 64))])
    assert len(without) == 16
    assert [curve.shape.block_shape for curve in found] == [(64, 64)]


def test_a_row_without_a_time_of_the_kernel_has_no_point() -> None:
    rows: list[Row] = [ROWS[0], replace(ROWS[1], ours=None)]
    assert [sparsity for sparsity, _ in curves(rows)[0][0].points] == [0.0]
