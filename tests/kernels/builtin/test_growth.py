"""How the memory of kernels grows, measured."""

from __future__ import annotations

import pytest

from pytest_attn.devices.device import Device
from pytest_attn.execution.isolation.memory import PeakMemory
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

COUNTED_LATE = 2**20
"""Bytes: Linux counts resident pages per core and adds them up later."""


@pytest.fixture(scope="module")
def memory() -> PeakMemory:
    """One process for all kernels."""
    return PeakMemory(Device("cpu"))


def peaks(memory: PeakMemory, name: str, heads: int) -> list[int]:
    """Bytes at 1024 and at 4096 tokens."""
    found = []
    for length in (1024, 4096):
        case = Case(length, length, query_heads=heads, head_dim=64, dtype="float32", ask="out")
        peak = memory.of(name, find_kernel(name), case, Inputs.draw(Problem.of(case), 1), 1)
        assert peak is not None
        found.append(peak)
    return found


@pytest.mark.slow
def test_the_memory_of_naive_attention_grows_with_the_square_of_the_length(memory: PeakMemory) -> None:
    short, long = peaks(memory, "naive", heads=1)
    assert long + COUNTED_LATE > 15 * short


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flash_v1", "flash_v2", "masked", "split_kv_decode"])
def test_the_memory_of_attention_by_tiles_grows_no_faster_than_the_length(memory: PeakMemory, name: str) -> None:
    short, long = peaks(memory, name, heads=2)
    assert long < 4 * short + 5 * COUNTED_LATE
    assert long + COUNTED_LATE > 2 * 4096 * 64 * 4, "the output alone"
