"""Peak memory of one run, against kernels that take a known amount."""

from __future__ import annotations

import types

import pytest
import torch

from pytest_attn.devices.device import Device
from pytest_attn.execution.isolation import memory
from pytest_attn.execution.isolation.memory import PeakMemory
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

CASE = Case(8, 8, head_dim=16, dtype="float32", ask="out")
MB = 2**20
FLOATS = 16 * MB
"""64 MB."""

COUNTED_LATE = 1
"""MB: Linux counts resident pages per core and adds them up later."""

KERNELS = f"""
import os
import torch

def modest(query, key, value, scale):
    return torch.zeros_like(query)

def hungry(query, key, value, scale):
    taken = torch.ones({FLOATS})
    return torch.zeros_like(query)

def in_turn(query, key, value, scale):
    for _ in range(4):
        taken = torch.ones({FLOATS // 2})
        del taken
    return torch.zeros_like(query)

class Prepared:
    def prepare(self, problem, inputs):
        room = torch.ones({FLOATS})
        return lambda: torch.zeros_like(inputs.query) + room[0]

def talkative(query, key, value, scale):
    print("no number")
    return torch.zeros_like(query)

def raising(query, key, value, scale):
    raise RuntimeError("no")

def dying(query, key, value, scale):
    os._exit(0)
"""


@pytest.fixture(scope="module")
def peak(tmp_path_factory):
    """Megabytes that a kernel of the file takes, by one process for all of this file."""
    file = tmp_path_factory.mktemp("peak") / "known.py"
    file.write_text(KERNELS)
    of_kernels = PeakMemory(Device("cpu"))

    def measured(name):
        spec = f"{file}:{name}"
        inputs = Inputs.draw(Problem.of(CASE), 1)
        found = of_kernels.of(spec, find_kernel(spec), CASE, inputs, 1)
        return None if found is None else found / MB

    return measured


def test_64_megabytes_inside_a_run_are_found(peak):
    assert 64 - COUNTED_LATE <= peak("hungry") < 68


def test_a_run_that_takes_nothing_shows_next_to_nothing(peak):
    assert peak("modest") < 4


def test_memory_that_is_given_back_between_counts_once(peak):
    assert 32 - COUNTED_LATE <= peak("in_turn") < 36


def test_what_was_prepared_counts(peak):
    assert 64 - COUNTED_LATE <= peak("Prepared") < 68


def test_what_a_kernel_prints_does_not_hide_its_peak(peak):
    assert peak("talkative") is not None


def test_a_kernel_that_ends_its_process_leaves_the_peak_unknown_and_the_next_one_known(peak):
    assert peak("dying") is None
    assert peak("modest") is not None


def test_a_kernel_that_raises_leaves_the_peak_unknown(peak):
    assert peak("raising") is None


def test_one_kernel_after_another_is_measured_alone(peak):
    found = [peak(name) for name in ("hungry", "modest", "hungry")]
    assert found[1] < 4
    assert found[2] == pytest.approx(found[0], abs=2)


def test_without_the_counters_of_linux_the_peak_is_unknown(peak, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "absent")
    assert peak("modest") is None


class FakeAllocator:
    """The statistics of `torch.cuda`, with a balance that kernels move by hand."""

    def __init__(self):
        self.now = 1000
        self.most = 10**9

    def take(self, count):
        self.now += count
        self.most = max(self.most, self.now)

    def synchronize(self, device): ...

    def memory_allocated(self, device):
        return self.now

    def max_memory_allocated(self, device):
        return self.most

    def reset_peak_memory_stats(self, device):
        self.most = self.now


@pytest.mark.parametrize("name", ["cuda", "npu"])
def test_on_an_accelerator_the_allocator_knows(monkeypatch, name):
    allocator = FakeAllocator()
    monkeypatch.setattr(torch, name, allocator, raising=False)
    monkeypatch.setattr(Device, "torch", name)

    def run():
        allocator.take(70)
        allocator.take(-70)

    kernel = types.SimpleNamespace(prepare=lambda problem, inputs: run)
    inputs = Inputs.draw(Problem.of(CASE), 1)
    assert PeakMemory(Device(name)).of("kernel", kernel, CASE, inputs, 1) == 70
