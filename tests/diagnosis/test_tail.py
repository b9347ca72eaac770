"""Positions beyond the last key that carry weight are named by where they lie, whatever their logits are."""

from __future__ import annotations

import pytest
import torch
from failing import diagnosis_of, phrase_of
from torch import Tensor

from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop


class Padded(TileLoop):
    """What fills the last tile has a logit of its own."""

    def padding(self, scores: Tensor) -> Tensor:
        return torch.zeros_like(scores)

    def mask(self, problem: Problem, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        key = self.positions(range(keys.start, keys.start + self.key_tile))
        masked = super().mask(problem, scores, lane, rows, keys)
        return torch.where(key >= problem.key_length, self.padding(scores), masked)


class Low(Padded):
    def padding(self, scores: Tensor) -> Tensor:
        return torch.full_like(scores, -1.5)


class High(Padded):
    def padding(self, scores: Tensor) -> Tensor:
        return torch.full_like(scores, 1.5)


class Garbage(Padded):
    def padding(self, scores: Tensor) -> Tensor:
        return torch.linspace(-2.0, 2.0, scores.shape[3]) + 0.3 * scores.amax(dim=3, keepdim=True)


class Quantised(Padded):
    """Queries and keys in steps of 1/127 of the largest, which for zero queries are none."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        steps = [tensor.abs().amax(dim=(2, 3), keepdim=True) / 127 for tensor in (query, key)]
        rounded = [(tensor / step).round() * step for tensor, step in zip((query, key), steps, strict=True)]
        return super().scores(*rounded)


LONG = "b1-h2-s129x257-d64-float32-both-exact"
HALF = "b1-h2-s257x129-d64-bfloat16-causal-out-exact"


@pytest.mark.parametrize("case", [LONG, HALF])
def test_positions_of_logit_zero_are_counted(case: str) -> None:
    found = phrase_of(Padded, case)
    assert found.startswith("63 positions beyond the last key, ")
    assert "take weight: they fill the last tile, up to" in found


@pytest.mark.parametrize("kernel", [Low, High, Garbage])
@pytest.mark.parametrize("case", [LONG, HALF])
def test_other_logits_are_not_taken_for_a_number_of_positions(kernel: type[TileLoop], case: str) -> None:
    found = diagnosis_of(kernel, case)
    assert found is not None
    assert found.kind == "tail"
    assert "positions beyond the last key" not in found.phrase or "of logit 0 would" in found.phrase


@pytest.mark.parametrize("case", [LONG, "b1-h2-s129x257-d64-bfloat16-out-exact"])
def test_padding_of_quantised_keys_is_named_with_its_tile(case: str) -> None:
    found = phrase_of(Quantised, case)
    assert found.startswith("keys beyond the last, 256, which fill its tile to 64, carry weight")


def test_rows_that_are_too_small_at_any_length_are_of_no_tail() -> None:
    class Smaller(Quantised):
        def padding(self, scores: Tensor) -> Tensor:
            return torch.full_like(scores, -torch.inf)

        def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
            super().store_out(problem, out, lane, rows, Part(0.9 * part.out, part.lse))

    found = diagnosis_of(Smaller, LONG)
    assert found is None or found.kind != "tail"
