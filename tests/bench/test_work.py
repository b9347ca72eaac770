"""Operations and bytes of a case."""

from __future__ import annotations

import pytest

from pytest_attn.bench.work import Work
from pytest_attn.problem.case import Case


def test_each_unmasked_pair_counts_two_products():
    work = Work.of(Case(100, 200, head_dim=64, value_dim=32, query_heads=3, batch=2))
    assert (work.flops, work.flop_formula) == (2 * (64 + 32) * 100 * 200 * 3 * 2, "pairs-2d-2dv")


def test_masked_pairs_do_not_count():
    assert Work.of(Case(4, 4, head_dim=16, causal="bottom-right")).flops == 2 * 32 * 10


def test_the_count_of_pto():
    assert Work.of(Case(128, 1024, batch=2), "pto").flops == 2 * 128 * 1024 * (4 * 128 + 6) - 2 * 2 * 128


def test_the_count_of_flashtile():
    assert Work.of(Case(256, 256, head_dim=64, query_heads=12, batch=4), "flashtile").flops == (
        (4 * 64 + 5) * 4 * 12 * 256**2
    )


def test_query_key_value_and_output_move_once_with_their_own_heads():
    case = Case(10, 20, head_dim=64, value_dim=32, query_heads=4, key_heads=2, dtype="float16")
    assert Work.of(case).bytes == 2 * (4 * 10 * 64 + 2 * 20 * 64 + 2 * 20 * 32 + 4 * 10 * 32)


def test_an_unknown_formula_names_those_there_are():
    with pytest.raises(ValueError, match="flop_formula is 'pt'; allowed: pto"):
        Work.of(Case(1, 1), "pt")
