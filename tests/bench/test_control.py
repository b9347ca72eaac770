"""The control of a measurement."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.bench.control import Control

CPU = torch.device("cpu")


@pytest.mark.parametrize("flops", [10**7, 10**8, 2_147_483_648])
def test_a_control_costs_about_as_much_as_asked(flops):
    assert Control.of(flops, torch.float32, CPU, seed=0).flops == pytest.approx(flops, rel=0.25)


def test_the_least_control_is_one_tile():
    assert Control.of(1, torch.float32, CPU, seed=0).flops == 2 * 16**3


def test_it_writes_into_the_buffer_that_it_has():
    control = Control.of(10**6, torch.float32, CPU, seed=0)
    before = control.out.data_ptr()
    assert control().data_ptr() == before
    torch.testing.assert_close(control.out, control.left @ control.right)


def test_two_instances_share_no_buffer():
    first, second = (Control.of(10**6, torch.float32, CPU, seed=0) for _ in range(2))
    pointers = [t.data_ptr() for control in (first, second) for t in (control.left, control.right, control.out)]
    assert len(set(pointers)) == 6


def test_its_inputs_are_random_and_never_zero():
    control = Control.of(10**6, torch.float32, CPU, seed=0)
    assert control.left.std() == pytest.approx(1.0, abs=0.1)
    assert control.left.count_nonzero() == control.left.numel()


def test_float16_is_multiplied_as_float32_on_a_cpu():
    assert Control.of(10**6, torch.float16, CPU, seed=0).name == "matmul-80-float32"
