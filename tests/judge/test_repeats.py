"""Equal weights make equal errors: how many of them a row has."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.judge.budget.repeats import repeats
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Recipe


def of(case: Case) -> torch.Tensor:
    problem = Problem.of(case)
    return repeats(problem, Inputs.draw(problem, 1, case.recipe))


@pytest.mark.parametrize("recipe", ["normal", "needle", "growing", "negative", "large"])
def test_drawn_logits_do_not_repeat(recipe: Recipe) -> None:
    assert float(of(Case(60, 700, dtype="bfloat16", recipe=recipe)).max()) == pytest.approx(1.0, abs=0.03)


def test_zero_queries_give_every_key_the_same_weight() -> None:
    assert of(Case(60, 700, query_heads=2, recipe="zeroquery")).tolist() == [[pytest.approx(700), pytest.approx(700)]]


def test_a_causal_mask_hides_repeats() -> None:
    assert float(of(Case(60, 700, recipe="zeroquery", causal="top-left"))) == pytest.approx(60)


def test_every_key_twice_doubles_the_variance() -> None:
    problem = Problem.of(Case(60, 700, dtype="float32"))
    inputs = Inputs.draw(problem, 1)
    inputs.key[:, :, 350:] = inputs.key[:, :, :350]
    assert float(repeats(problem, inputs)) == pytest.approx(2.0)
