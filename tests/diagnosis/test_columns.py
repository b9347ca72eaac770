"""Which columns of the output are wrong."""

from __future__ import annotations

import pytest
import torch
from failing import diagnosis_of, phrase_of
from torch import Tensor

from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop
from pytest_attn.selfcheck.mutants.variant_loop import VariantLoop

WIDE = "b1-h2-s40x70-d64x256-float32-both-exact"
DECODE = "b1-h2-s1x300-d64x256-bfloat16-both-exact"
PADDED = "b4-h2-s9x131-d64x256-float32-causal-ragged-both-exact"
PAGED = "b3-h2-s1x131-d64x256-bfloat16-paged16-out-exact"
CAPPED = "b1-h2-s40x70-d64x256-float32-softcap2-both-exact"


def of_columns(first: int, stop: int, factor: float, loop: type[TileLoop] = VariantLoop) -> type[TileLoop]:
    """A loop whose output columns first to stop - 1 are multiplied with a factor."""

    class Columns(loop):  # type: ignore[misc, valid-type]
        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            wrong = part.out.clone()
            wrong[..., first:stop] *= factor
            super().store_out(problem, out, lane, rows, Part(wrong, part.lse))

    return Columns


@pytest.mark.parametrize("case", [WIDE, DECODE, PADDED, PAGED, CAPPED])
def test_a_half_that_is_zero_is_named(case: str) -> None:
    assert phrase_of(of_columns(128, 256, 0.0), case) == "columns 128-255 of out are 0, the others right"


@pytest.mark.parametrize("case", [WIDE, DECODE, PADDED, CAPPED])
def test_a_half_that_is_wrong_is_named(case: str) -> None:
    assert phrase_of(of_columns(128, 256, 1.5), case) == "columns 128-255 of out are wrong, the others right"


@pytest.mark.parametrize(("first", "stop"), [(0, 128), (192, 256), (64, 128), (250, 256), (16, 256)])
def test_any_range_of_columns_is_named(first: int, stop: int) -> None:
    assert phrase_of(of_columns(first, stop, -1.0), WIDE) == (
        f"columns {first}-{stop - 1} of out are wrong, the others right"
    )


@pytest.mark.parametrize("case", [WIDE, DECODE, PADDED, CAPPED])
def test_a_half_that_is_never_written_is_named(case: str) -> None:
    class Half(VariantLoop):
        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            super().store_out(problem, out[..., :128], lane, rows, Part(part.out[..., :128], part.lse))

    assert phrase_of(Half, case) == "columns 128-255 of out are never written"


def test_a_half_of_the_values_that_is_of_other_keys_is_named() -> None:
    class Rolled(TileLoop):
        def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
            value = super().load_value(problem, inputs, lane, keys)
            return torch.cat([value[..., :128], value[..., 128:].roll(1, 2)], dim=3)

    assert phrase_of(Rolled, WIDE) == "columns 128-255 of out are wrong, the others right"


def test_two_halves_neither_of_which_is_right_are_told_apart() -> None:
    class Both(of_columns(128, 256, 2.0)):  # type: ignore[misc]
        def scores(self, query: Tensor, key: Tensor) -> Tensor:
            return super().scores(query, key).sin() * 3.0

    found = phrase_of(Both, WIDE)
    assert found.startswith(
        "columns 128-255 of out differ from columns 0-127 where all columns of the values are equal"
    )


def test_a_factor_that_shows_in_some_columns_alone_is_of_no_column() -> None:
    class OneRow(TileLoop):
        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            wrong = part.out.clone()
            wrong[:, :, 7] *= 1.00003
            super().store_out(problem, out, lane, rows, Part(wrong, part.lse))

    found = diagnosis_of(OneRow, WIDE)
    assert found is None or "column" not in found.phrase
