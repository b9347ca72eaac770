"""Rows of equal probabilities err alike."""

from __future__ import annotations

import torch

from pytest_attn.execution.session import Session
from pytest_attn.judge.budget.row_classes import RowClasses
from pytest_attn.options.options import Options
from pytest_attn.oracles.cache import ReferenceCache
from pytest_attn.oracles.exact import exact
from pytest_attn.problem.case import Case
from pytest_attn.problem.case_id import parse
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.backward_loop import BackwardLoop
from pytest_attn.selfcheck.mutants.tile_loop import tile_loop


def classes_of(case: Case) -> tuple[Inputs, RowClasses]:
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, 1, case.recipe)
    return inputs, RowClasses.of(problem, inputs, exact(problem, inputs, ReferenceCache()), 0, 0)


def test_each_drawn_row_is_a_class_of_its_own() -> None:
    inputs, classes = classes_of(Case(40, 30, head_dim=16, dtype="float32", ask="grad"))
    assert inputs.grad_out is not None
    assert classes.count.tolist() == [1] * 40
    assert torch.equal(classes.grad_out, inputs.grad_out[0, 0].double())
    products = torch.randn(40, 30, dtype=torch.float64)
    assert not classes.more_shared(products, classes.delta, torch.randn(30, 16)).any()


def test_rows_of_one_query_are_one_class_and_their_errors_add_up() -> None:
    inputs, classes = classes_of(Case(40, 30, head_dim=16, dtype="float32", ask="grad", recipe="zeroquery"))
    assert inputs.grad_out is not None
    grad_out, value = inputs.grad_out[0, 0].double(), inputs.value[0, 0].double()
    assert classes.count.tolist() == [40] * 40
    products, weights = grad_out @ value.T, torch.full((40, 30), 1 / 30, dtype=torch.float64)
    delta = (weights * products).sum(dim=1)
    own = (products - delta.unsqueeze(1)).square()
    shared = (products - delta.unsqueeze(1)).sum(dim=0).square() / 40
    torch.testing.assert_close(classes.more_shared(products, delta, value), (shared - own).clamp_min(0.0))


def test_the_clean_loop_is_green_where_equal_queries_of_a_block_add_up() -> None:
    case = parse("b1-h4-kv2-s300-d64-float32-sp75pct-bs96x80-needle-grad-exact")
    verdict = Session(Options()).cell(tile_loop(BackwardLoop), case).judge()
    assert verdict.passed, verdict.summary
