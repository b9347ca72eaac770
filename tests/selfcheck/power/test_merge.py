"""A defect that is merged into a result is what a kernel with that defect computes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pytest_attn.judge.verdict.judge import judge
from pytest_attn.oracles.slabs import Slab, slabs
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.power.clean import Clean, Rescaled, Unrounded, Without
from pytest_attn.selfcheck.power.defects import spread
from pytest_attn.selfcheck.power.merge import drop, leak

CASES = {
    "dense": Case(70, 90, head_dim=32, dtype="float32"),
    "gqa": Case(70, 90, head_dim=32, value_dim=16, batch=2, query_heads=4, key_heads=2, dtype="float32"),
    "causal": Case(90, 90, head_dim=32, causal="bottom-right", dtype="float32"),
    "empty rows": Case(90, 70, head_dim=32, causal="bottom-right", dtype="float32"),
    "block-sparse": Case(256, 300, head_dim=32, query_heads=2, sparsity=0.5, block_shape=(64, 32), dtype="float32"),
    "needles": Case(90, 90, head_dim=32, recipe="needle", dtype="float32"),
    "negative": Case(90, 90, head_dim=32, recipe="negative", dtype="float32"),
    "large": Case(90, 90, head_dim=32, recipe="large", dtype="float32"),
}


def posed(case: Case) -> tuple[Problem, Inputs, Unrounded]:
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, 42, case.recipe)
    return problem, inputs, Clean(problem).unrounded(problem, inputs)


def close(one: Unrounded, other: Unrounded) -> bool:
    """Within the float32 rounding of logits near 120; one key of 90 weighs a hundred times as much."""
    atol = 1e-4
    return torch.allclose(one.out, other.out, rtol=0, atol=atol) and torch.allclose(
        one.lse, other.lse, rtol=0, atol=atol
    )


@pytest.mark.parametrize("count", [1, 7, 35])
@pytest.mark.parametrize("name", CASES)
def test_dropped_keys_are_those_that_a_kernel_without_them_does_not_attend_to(name: str, count: int) -> None:
    problem, inputs, clean = posed(CASES[name])
    keys = spread(torch.arange(problem.key_length), count)
    dropped = drop(problem, inputs, clean, keys, slabs(problem))
    anew = Without(problem, keys).unrounded(problem, inputs)
    assert close(dropped, anew)


def test_one_dropped_key_changes_the_result() -> None:
    problem, inputs, clean = posed(CASES["dense"])
    assert not close(drop(problem, inputs, clean, torch.tensor([45]), slabs(problem)), clean)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_what_is_left_is_right_for_the_remaining_keys(dtype: str) -> None:
    """The judge knows nothing of the merge: it takes the result for that of a correct kernel on fewer keys."""
    problem, inputs, clean = posed(Case(64, 1000, dtype=dtype))
    keys = spread(torch.arange(1000), 100)
    kept = torch.ones(1000, dtype=torch.bool)
    kept[keys] = False
    fewer = replace(problem, key_length=900)
    remaining = Inputs(inputs.query, inputs.key[:, :, kept], inputs.value[:, :, kept], "remaining")
    output = drop(problem, inputs, clean, keys, slabs(problem)).stored(problem)
    verdict = judge(fewer, remaining, output, stream(fewer, remaining), Clean(fewer).kernel)
    assert verdict.passed, verdict.summary


def test_a_row_that_would_be_emptied_keeps_its_keys() -> None:
    problem, inputs, clean = posed(Case(8, 8, head_dim=32, causal="bottom-right", dtype="float32"))
    dropped = drop(problem, inputs, clean, torch.tensor([0, 1]), slabs(problem))
    assert torch.equal(dropped.out[:, :, :2], clean.out[:, :, :2])
    assert torch.equal(dropped.lse[:, :, :2], clean.lse[:, :, :2])
    assert not torch.equal(dropped.lse[:, :, 2:], clean.lse[:, :, 2:])


def test_only_the_rows_that_are_named_change() -> None:
    problem, inputs, clean = posed(CASES["gqa"])
    dropped = drop(problem, inputs, clean, torch.tensor([3]), [Slab(1, 2, range(10, 11))])
    changed = (dropped.lse != clean.lse).nonzero().tolist()
    assert changed == [[1, 2, 10]]


@pytest.mark.parametrize("name", ["dense", "gqa", "negative"])
def test_leaked_pads_are_keys_of_logit_0_and_value_0(name: str) -> None:
    problem, inputs, clean = posed(CASES[name])
    padded = replace(problem, key_length=95)
    longer = Inputs(inputs.query, pad(inputs.key), pad(inputs.value), "padded")
    assert close(leak(clean, 5), Clean(padded).unrounded(padded, longer))


def pad(tensor: Tensor) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, 0, 0, 5))


def test_a_leak_in_a_row_without_keys_gives_it_weight() -> None:
    _, _, clean = posed(CASES["empty rows"])
    leaked = leak(clean, 8)
    assert torch.allclose(leaked.lse[:, :, :20].exp(), torch.tensor(8.0, dtype=torch.float64))
    assert bool((leaked.out[:, :, :20] == 0).all())


@pytest.mark.parametrize("name", CASES)
def test_the_clean_result_is_right(name: str) -> None:
    problem, inputs, clean = posed(CASES[name])
    verdict = judge(problem, inputs, clean.stored(problem), stream(problem, inputs), Clean(problem).kernel)
    assert verdict.passed, verdict.summary


def test_the_clean_result_has_the_rounding_of_its_numerics() -> None:
    """About the error that the budget expects: neither that of an all-float32 kernel, nor more."""
    problem, inputs, clean = posed(Case(600, 600))
    verdict = judge(problem, inputs, clean.stored(problem), stream(problem, inputs), Clean(problem).kernel)
    assert verdict.passed, verdict.summary
    assert 0.85 <= verdict.figures["out_rms"] <= 1.15


def test_a_scale_that_is_off_is_another_scale() -> None:
    problem, inputs, _ = posed(CASES["dense"])
    wrong = replace(problem, scale=problem.scale * 1.25)
    assert close(Rescaled(problem, 1.25).unrounded(problem, inputs), Clean(wrong).unrounded(wrong, inputs))
