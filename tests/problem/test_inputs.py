"""Inputs are drawn from shape, dtype, seed and recipe, and from nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.recipes import needle_targets
from pytest_attn.problem.variants import Softcap

CASE = Case(10, 12, head_dim=8, value_dim=6, batch=2, query_heads=4, key_heads=2, scale=0.5)
PROBLEM = Problem.of(CASE)
HALF_KEPT = BlockSparse(BlockMask(torch.eye(2, dtype=torch.bool).expand(2, 4, 2, 2), (5, 6), 10, 12))


def bits(inputs: Inputs) -> list[float]:
    """Every element, in order."""
    return [x for tensor in (inputs.query, inputs.key, inputs.value) for x in tensor.flatten().tolist()]


def test_the_same_problem_and_seed_draw_the_same_bits() -> None:
    assert Inputs.draw(PROBLEM, 42).equal(Inputs.draw(Problem.of(CASE), 42))


@pytest.mark.parametrize(
    "change",
    [{"mask": Causal()}, {"mask": HALF_KEPT}, {"scale": 0.1}, {"ask": "lse"}],
    ids=["causal", "blocks", "scale", "ask"],
)
def test_neither_mask_nor_scale_nor_question_changes_the_bits(change: dict[str, Any]) -> None:
    assert Inputs.draw(PROBLEM, 42).equal(Inputs.draw(replace(PROBLEM, **change), 42))


@pytest.mark.parametrize(
    "change",
    [{"mask": Causal()}, {"mask": HALF_KEPT}, {"scale": 0.1}, {"ask": "lse"}],
    ids=["causal", "blocks", "scale", "ask"],
)
def test_inputs_of_the_same_bits_have_the_same_content_key(change: dict[str, Any]) -> None:
    assert Inputs.draw(replace(PROBLEM, **change), 42).key_of_content == Inputs.draw(PROBLEM, 42).key_of_content


CHANGES: list[dict[str, Any]] = [
    {"batch": 1},
    {"query_heads": 2},
    {"key_heads": 1},
    {"query_length": 11},
    {"key_length": 13},
    {"head_dim": 9},
    {"value_dim": 7},
    {"dtype": torch.float16},
    {"dtype": torch.float32},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_another_shape_or_dtype_draws_other_values(change: dict[str, Any]) -> None:
    # Rounded to bfloat16, two types that shared a draw would be equal.
    mine, other = (Inputs.draw(problem, 42).query[0, 0, 0, :4] for problem in (PROBLEM, replace(PROBLEM, **change)))
    assert not torch.equal(mine, other.to(torch.bfloat16))


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_another_shape_or_dtype_has_another_content_key(change: dict[str, Any]) -> None:
    assert Inputs.content(replace(PROBLEM, **change), 42) != Inputs.content(PROBLEM, 42)


def test_another_seed_draws_other_values() -> None:
    assert not set(bits(Inputs.draw(PROBLEM, 42))) <= set(bits(Inputs.draw(PROBLEM, 43)))


def test_another_seed_or_recipe_has_another_content_key() -> None:
    keys = {Inputs.content(PROBLEM, seed, recipe) for seed in (42, 43) for recipe in ("normal", "zeros")}
    assert len(keys) == 4


def test_the_content_key_is_known_without_drawing() -> None:
    assert Inputs.content(PROBLEM, 42, "zeros") == Inputs.draw(PROBLEM, 42, "zeros").key_of_content


@pytest.mark.parametrize("recipe", ["normal", "zeros"])
def test_grouped_heads_and_another_value_dim_give_their_shapes(recipe: Any) -> None:
    inputs = Inputs.draw(PROBLEM, 42, recipe)
    shapes = [tuple(tensor.shape) for tensor in (inputs.query, inputs.key, inputs.value)]
    assert shapes == [(2, 4, 10, 8), (2, 2, 12, 8), (2, 2, 12, 6)]


@pytest.mark.parametrize("recipe", ["normal", "zeros"])
@pytest.mark.parametrize("wanted", [torch.bfloat16, torch.float16, torch.float32])
def test_all_three_have_the_dtype_of_the_problem(wanted: torch.dtype, recipe: Any) -> None:
    inputs = Inputs.draw(replace(PROBLEM, dtype=wanted), 42, recipe)
    assert {inputs.query.dtype, inputs.key.dtype, inputs.value.dtype} == {wanted}


def test_the_recipe_zeros_is_all_zero() -> None:
    assert not any(bits(Inputs.draw(PROBLEM, 42, "zeros")))


def test_normal_inputs_have_mean_zero_and_variance_one() -> None:
    query = Inputs.draw(Problem.of(Case(100, 100, dtype="float32")), 42).query
    # Five standard errors of 12800 values.
    assert abs(query.mean()) < 0.045
    assert abs(query.var() - 1.0) < 0.063


def test_the_needle_of_a_single_query_is_the_last_key_and_another_one_in_each_head() -> None:
    problem = Problem.of(Case(1, 300, batch=2, query_heads=4))
    targets = [int(needle_targets(problem, batch, head)) for batch in range(2) for head in range(4)]
    assert targets == [299, 0, 0, 299, 0, 63, 64, 127]


def test_query_key_and_value_are_drawn_apart() -> None:
    inputs = Inputs.draw(Problem.of(Case(10, 10, dtype="float32")), 42)
    assert len(set(bits(inputs))) > 3 * 10 * 128 - 5


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    Inputs.draw(PROBLEM, 42)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_pinned_seed_draws_its_pinned_values() -> None:
    first = Inputs.draw(Problem.of(Case(4, 4, head_dim=8, dtype="float32")), 42).query[0, 0, 0, :3]
    assert first.tolist() == pytest.approx([0.360377, 0.8234795, 0.3546], abs=1e-6)


@pytest.mark.parametrize("name", ["query", "key", "value"])
def test_equal_sees_one_changed_element(name: str) -> None:
    inputs = Inputs.draw(PROBLEM, 42)
    spoiled = inputs.clone()
    getattr(spoiled, name)[0, 0, 0, 0] += 1
    assert not inputs.equal(spoiled)


GRADIENTS = replace(PROBLEM, ask="grad")


def test_the_gradient_of_the_output_is_drawn_where_gradients_are_asked_for() -> None:
    drawn = Inputs.draw(GRADIENTS, 42).grad_out
    assert drawn is not None
    assert (tuple(drawn.shape), drawn.dtype) == ((2, 4, 10, 6), torch.bfloat16)
    assert Inputs.draw(PROBLEM, 42).grad_out is None


def test_inputs_with_a_gradient_have_another_content_key() -> None:
    assert Inputs.content(GRADIENTS, 42) != Inputs.content(PROBLEM, 42)


def test_equal_sees_another_gradient_of_the_output() -> None:
    inputs = Inputs.draw(GRADIENTS, 42)
    spoiled = inputs.clone()
    assert spoiled.grad_out is not None
    assert spoiled.equal(inputs)
    spoiled.grad_out[0, 0, 0, 0] += 1
    assert not spoiled.equal(inputs)


def test_a_one_hot_gradient_names_the_column_of_its_row() -> None:
    drawn = Inputs.draw(GRADIENTS, 42, "onehotgrad").grad_out
    assert drawn is not None
    assert torch.equal(drawn[1, 3], torch.eye(6, dtype=torch.bfloat16).repeat(2, 1)[:10])


def test_a_constant_column_of_keys_is_one() -> None:
    key = Inputs.draw(GRADIENTS, 42, "constantcolumn").key
    assert bool((key[..., 0] == 1).all())
    assert len(key[..., 1].unique()) > 1


def test_a_clone_is_equal() -> None:
    inputs = Inputs.draw(PROBLEM, 42)
    assert inputs.equal(inputs.clone())


def test_spoiling_a_clone_leaves_the_inputs_alone() -> None:
    inputs = Inputs.draw(PROBLEM, 42)
    inputs.clone().key.zero_()
    assert inputs.equal(Inputs.draw(PROBLEM, 42))


def test_inputs_that_are_there_already_are_not_copied() -> None:
    inputs = Inputs.draw(PROBLEM, 42)
    assert inputs.to(torch.device("cpu")) is inputs


def products_of(case: Case) -> torch.Tensor:
    """The products scale q_d k_d `[Sq, Skv, D]` of the first head, float64."""
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, 42, case.recipe)
    query, key = inputs.query[0, 0].double(), inputs.key[0, 0].double()
    return query.unsqueeze(1) * key.unsqueeze(0) * problem.scale


HALF_AND_MORE = pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])


@HALF_AND_MORE
@pytest.mark.parametrize(("variants", "cap"), [((), 1.0), ((Softcap(2.0),), 2.0), ((Softcap(50.0),), 50.0)])
def test_saturating_logits_are_100_to_1000_caps_of_both_signs(
    dtype: str, variants: tuple[Softcap, ...], cap: float
) -> None:
    logits = products_of(Case(20, 90, dtype=dtype, recipe="saturating", variants=variants)).sum(dim=2) / cap
    assert 95 < logits.abs().min() < 200
    assert 500 < logits.abs().max() < 1050
    assert 0.3 < (logits > 0).double().mean() < 0.7


def test_saturating_inputs_of_another_cap_have_another_content_key() -> None:
    caps = (Softcap(2.0), Softcap(30.0))
    problems = [Problem.of(Case(4, 4, recipe="saturating", variants=(cap,))) for cap in caps]
    assert len({Inputs.content(problem, 42, "saturating") for problem in problems}) == 2


@HALF_AND_MORE
@pytest.mark.parametrize("head_dim", [16, 64, 256])
def test_cancelling_channels_leave_logits_of_usual_size(dtype: str, head_dim: int) -> None:
    products = products_of(Case(50, 80, head_dim=head_dim, dtype=dtype, recipe="cancelling"))
    assert 0.7 < products.sum(dim=2).std() < 2.5
    assert products.square().sum(dim=2).mean() > 10000


def test_cancelling_products_vary_by_row_and_key() -> None:
    products = products_of(Case(50, 80, dtype="float32", recipe="cancelling"))
    large = products[..., products.abs().mean(dim=(0, 1)).argmax()]
    assert large.std(dim=0).min() > 10
    assert large.std(dim=1).min() > 10


@HALF_AND_MORE
def test_huge_logits_are_beyond_float16_before_and_after_they_are_scaled(dtype: str) -> None:
    case = Case(20, 60, dtype=dtype, recipe="hugelogit")
    logits = products_of(case).sum(dim=2)
    assert logits.max() < -65504
    assert logits.min() > -150000
    assert 0.5 < (logits - logits.mean(dim=1, keepdim=True)).std() < 2


@HALF_AND_MORE
def test_huge_values_are_finite_and_so_are_their_sums_and_squares(dtype: str) -> None:
    value = Inputs.draw(Problem.of(Case(4, 300, dtype=dtype, recipe="hugevalue")), 42, "hugevalue").value.float()
    assert value.square().sum().isfinite()
    assert value.sum(dim=2).abs().amin() > 65504
    assert (value.sign() == value.sign()[:, :, :1]).all()
