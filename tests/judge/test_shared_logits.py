"""Rows of one query, in all heads of a group, have the errors of their logits in common."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import pytest_attn.judge.budget.shared_logits as shared_logits_module
from pytest_attn.execution.cell import Cell
from pytest_attn.execution.session import Session
from pytest_attn.judge.budget.gradient_pairs import product_error
from pytest_attn.judge.budget.gradient_units import Units
from pytest_attn.judge.budget.row_classes import RowClasses, equal_rows
from pytest_attn.judge.budget.shared_logits import SharedErrors, shared_logits
from pytest_attn.judge.verdict.gradients import judge_gradients
from pytest_attn.judge.verdict.judge import budget_of
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Output
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.oracles.gradient_tiles import HeadTiles, Rows
from pytest_attn.oracles.slabs import Slab
from pytest_attn.problem.case_id import parse

BITS = 18

WINDOW = "b3-h3-kv1-s129-d96x128-float32-win64x0-needle-grad-exact"
SMALL = "b1-h2-kv1-s60-d16-float32-win12x0-needle-grad-exact"


def cell_of(case: str, seed: int = 42, kernel: str = "eager") -> Cell:
    return Session(Options(seed=seed)).cell(kernel, parse(case))


def first_head(cell: Cell) -> HeadTiles:
    """The first key head of a cell."""
    key, value = (tensor[0, 0].double() for tensor in (cell.inputs.key, cell.inputs.value))
    return HeadTiles(cell.problem, cell.inputs, cell.reference, torch.float64, 0, 0, key, value)


def numerics_of(cell: Cell) -> Numerics:
    return cell.kernel.numerics_for(cell.problem)


def shared(cell: Cell) -> list[SharedErrors]:
    classes = RowClasses.of(cell.problem, cell.inputs, cell.reference, 0, 0)
    numerics = numerics_of(cell)
    return list(shared_logits(Units.of(cell.problem, numerics), numerics, first_head(cell), classes))


@pytest.mark.parametrize("kernel", ["eager", "gqa", "mqa", "naive"])
@pytest.mark.parametrize("seed", [42, 1, 2, 3, 4])
def test_a_right_kernel_is_green_where_a_window_gives_equal_queries_other_keys(kernel: str, seed: int) -> None:
    verdict = cell_of(WINDOW, seed, kernel).judge()
    assert verdict.passed, verdict.summary


@pytest.mark.parametrize(
    "case",
    ["h4-kv2-s60-d16-float32-grad-exact", "h2-kv1-s60-d16-float32-zeroquery-grad-exact"],
)
def test_rows_of_their_own_queries_and_rows_of_one_lse_add_nothing(case: str) -> None:
    assert shared(cell_of(f"b1-{case}")) == []


class Emulated:
    """The first key head of a small cell, and what errors of its logits, one for each query and key, make of dK and
    dV."""

    def __init__(self) -> None:
        self.cell = cell_of(SMALL)
        problem, head = self.cell.problem, first_head(self.cell)
        every = [Rows.of(Slab(0, own, range(60)), head.inputs, head.reference, torch.float64) for own in (0, 1)]
        self.query, self.grad_out = (torch.cat([getattr(rows, name) for rows in every]) for name in FIELDS)
        self.key, self.scale, self.index = head.key, problem.scale, equal_rows(self.query)
        scores, numerics = self.query @ head.key.T * self.scale, numerics_of(self.cell)
        units = Units.of(problem, numerics)
        self.tau_square = product_error(units, numerics, problem, self.query, head.key, scores)
        allowed = problem.mask.allowed(problem.lengths, 0, 0, range(60), range(60)).repeat(2, 1)
        self.scores = scores.masked_fill(~allowed, -torch.inf)
        self.products = self.grad_out @ head.value.T
        self.value, self.classes = head.value, RowClasses.of(problem, self.cell.inputs, self.cell.reference, 0, 0)

    def gradients(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """dK and dV of logits `[..., rows, keys]`."""
        weights = scores.softmax(dim=-1)
        delta = (weights * self.products).sum(dim=-1, keepdim=True)
        moved = weights * (self.products - delta)
        return moved.mT @ self.query * self.scale, weights.mT @ self.grad_out

    def deviations(self) -> tuple[Tensor, Tensor]:
        """Mean squares of the errors of dK and dV, over many draws."""
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(600, 60, len(self.key), generator=generator, dtype=torch.float64)
        off = self.gradients(self.scores + drawn[:, self.index % 60] * self.tau_square.sqrt())
        right = self.gradients(self.scores)
        return tuple((each - exact).square().mean(dim=0) for each, exact in zip(off, right, strict=True))

    def alone(self) -> tuple[Tensor, Tensor]:
        """The variances of dK and dV, of logits, LSE and delta, where rows of an LSE of their own err alone."""
        weights = self.scores.softmax(dim=1)
        delta = (weights * self.products).sum(dim=1, keepdim=True)
        moved = weights * (self.products - delta)
        lse = (weights.square() * self.tau_square).sum(dim=1, keepdim=True)
        of_delta = (moved.square() * self.tau_square).sum(dim=1, keepdim=True)
        dv = (self.tau_square + lse) * weights.square()
        dk = (self.tau_square + lse) * moved.square() + of_delta * weights.square()
        dk += dv * self.classes.more_shared(self.products, delta.squeeze(1), self.value)
        grad_out_square = torch.maximum(self.grad_out.square(), self.classes.grad_out.square())
        return dk.T @ self.query.square() * self.scale**2, dv.T @ grad_out_square


FIELDS = ("query", "grad_out")


def test_no_drawn_errors_of_logits_go_beyond_the_budget_of_equal_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    # Errors of what is subtracted are not drawn.
    monkeypatch.setattr(shared_logits_module, "shift_error", lambda _, shifted: torch.zeros_like(shifted))
    emulated = Emulated()
    errors = shared(emulated.cell)
    added = (sum(each.dk for each in errors), sum(each.dv for each in errors))
    for found, alone, more in zip(emulated.deviations(), emulated.alone(), added, strict=True):
        of_budget = (found / (alone + more)).sqrt()
        assert float((found / alone).sqrt().max()) > 1.4
        assert float(of_budget.max()) < 1.3
        assert 0.9 < float(of_budget.flatten().quantile(0.9)) < 1.1


def with_values(cell: Cell, off: Tensor) -> Verdict:
    """On the cell's own gradients, with `off` `[Skv, Dv]` taken from dV of the first key head."""
    grads = cell.run().grads
    assert grads is not None
    dv = grads.dv.clone()
    dv[0, 0] = (dv[0, 0].double() - off).float()
    allowed = budget_of(cell.problem, cell.inputs, cell.reference, cell.kernel)
    changed = Output(cell.inputs.grad_out, None, grads._replace(dv=dv))
    return judge_gradients(cell.problem, cell.inputs, changed, cell.reference, allowed)


def weights_of(cell: Cell, bits: int | None = None) -> Tensor:
    """P of the first key head `[group, Sq, Skv]`, float64, of logits that are rounded to so many bits after the
    leading one."""
    problem, inputs = cell.problem, cell.inputs
    scores = inputs.query[0].double() @ inputs.key[0].double().mT * problem.scale
    if bits is not None:
        mantissa, exponent = torch.frexp(scores)
        scores = torch.ldexp((mantissa * 2 ** (bits + 1)).round(), exponent - bits - 1)
    lengths, length = problem.lengths, range(problem.query_length)
    scores.masked_fill_(~problem.mask.allowed(lengths, 0, 0, length, range(problem.key_length)), -torch.inf)
    return scores.softmax(dim=2)


def test_a_kernel_without_one_head_of_the_group_is_red() -> None:
    cell = cell_of(WINDOW)
    assert cell.inputs.grad_out is not None
    assert not with_values(cell, weights_of(cell)[1].T @ cell.inputs.grad_out[0, 1].double()).passed


def test_a_kernel_that_drops_any_row_of_the_largest_class_is_red() -> None:
    cell = cell_of(WINDOW)
    assert cell.inputs.grad_out is not None
    index = equal_rows(cell.inputs.query[0].flatten(0, 1).double())
    members = (index == index.bincount().argmax()).nonzero().flatten().tolist()
    weights, grad_out = weights_of(cell).flatten(0, 1), cell.inputs.grad_out[0].flatten(0, 1).double()
    assert len(members) > 10
    for row in members:
        assert not with_values(cell, torch.outer(weights[row], grad_out[row])).passed


def test_a_kernel_whose_logits_have_too_few_bits_is_red() -> None:
    cell = cell_of(WINDOW)
    assert cell.inputs.grad_out is not None
    grad_out = cell.inputs.grad_out[0].double()
    off = (weights_of(cell) - weights_of(cell, bits=BITS)).mT @ grad_out
    assert not with_values(cell, off.sum(dim=0)).passed
