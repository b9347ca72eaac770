"""The published table of the block-sparse benchmark: its rows, to the character, and what is no row."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn.problem.frame import FrameWidths
from pytest_attn.published.bsa_table import COLUMNS, RULE, WIDTH, Row, heading, rows_of

PUBLISHED = Path(__file__).parent / "bsa_910b2.txt"
SPARSE = Row(
    block_shape=(128, 1024),
    heads=3,
    batch=1,
    query_length=118806,
    key_length=118806,
    head_dim=128,
    frame=FrameWidths(4, 1, 29, 1),
    sparsity=0.9,
    equal=None,
    reference=None,
    ours=18146.7,
)


def test_the_published_table_has_a_row_of_every_block_shape_and_sparsity() -> None:
    rows = rows_of(PUBLISHED.read_text().splitlines(), "table")
    assert len({(row.block_shape, row.sparsity) for row in rows}) == len(rows) == 16 * 11
    assert all((row.reference is None) == (row.sparsity > 0) for row in rows)


def test_a_row_is_printed_in_columns_that_are_aligned_to_the_right() -> None:
    assert SPARSE.line == (
        "     128x1024   3   1 118806 118806  128      (4,1,29,1)      0.90             N/A                N/A"
        "           18146.70"
    )


def test_rows_that_are_printed_are_read_again() -> None:
    published = PUBLISHED.read_text().splitlines()
    rows = rows_of(published, "table")
    assert rows_of((row.line for row in rows), "table") == rows
    assert [" ".join(row.line.split()) for row in rows] == published


def test_a_dense_row_shows_no_frame() -> None:
    dense = Row(**{name: getattr(SPARSE, name) for name in Row.__slots__} | {"sparsity": 0.0})
    assert dense.line.split()[6] == "-"


@pytest.mark.parametrize(("equal", "word"), [(True, "yes"), (False, "no"), (None, "N/A")])
def test_whether_the_output_is_right_is_one_word(equal: bool | None, word: str) -> None:
    row = Row(**{name: getattr(SPARSE, name) for name in Row.__slots__} | {"equal": equal})
    assert row.line.split()[8] == word


def test_the_heading_has_rules_settings_and_names_over_the_columns() -> None:
    lines = heading(dtype="bfloat16", layout="BNSD", sorted_indices=True, reference="exact").splitlines()
    settings = "  DTYPE=torch.bfloat16  INPUT_LAYOUT='BNSD'  SABI_SORTED=True  TORCH_REFERENCE='exact'"
    assert [lines[0], lines[1], lines[2], lines[4]] == [RULE, settings, RULE, "-" * WIDTH]
    assert lines[3].split() == list(COLUMNS)
    assert len(lines[3]) == len(SPARSE.line) == WIDTH


def test_a_cut_row_is_named_by_its_line() -> None:
    with pytest.raises(ValueError, match=r"bench\.log, line 2: no whole row of 11 columns: '128x256 3 1 1188"):
        rows_of([SPARSE.line, "128x256 3 1 1188"], "bench.log")


def test_a_text_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="no row of the table of the published benchmark"):
        rows_of([RULE, "Traceback"], "bench.log")
