"""How a problem becomes a call of FlexAttention."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import flex_attention as flex_module

from pytest_attn.kernels.builtin.flex import FLEX, flex_mask
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("case", "block"),
    [
        (Case(300, 500, sparsity=0.5, block_shape=(128, 256)), (128, 256)),
        (Case(300, 500, sparsity=0.5, block_shape=(96, 80)), (128, 128)),
        (Case(300, 500, causal="bottom-right"), (128, 128)),
        (Case(300, 500, causal="top-left"), (128, 128)),
    ],
    ids=lambda value: getattr(value, "id", None),
)
def test_a_mask_keeps_its_pairs_in_blocks_that_a_compiled_kernel_takes(case: Case, block: tuple[int, int]) -> None:
    problem = Problem.of(case)
    found = flex_mask(problem, CPU)
    assert found is not None
    assert block == found.BLOCK_SIZE
    allowed = problem.mask.allowed(problem.lengths, 0, 0, range(300), range(500))
    assert torch.equal(flex_module.create_mask(found.mask_mod, 1, 1, 300, 500, device="cpu")[0, 0], allowed)


def test_no_mask_is_none() -> None:
    assert flex_mask(Problem.of(Case(300, 500)), CPU) is None


def test_more_shapes_than_the_tracer_takes_run_and_leave_its_switch_alone() -> None:
    for length in range(1, 12):
        problem = Problem.of(Case(length, length, head_dim=16, causal="top-left"))
        FLEX.prepare(problem, Inputs.draw(problem, seed=1))()
    assert flex_module._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG is False
