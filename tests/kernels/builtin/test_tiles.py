"""Kernels that go by tiles, chunks or parts: any size of them is right at any length."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pytest_attn.judge.verdict.judge import judge
from pytest_attn.kernels.builtin.flash_v1 import flash_v1
from pytest_attn.kernels.builtin.flash_v2 import flash_v2
from pytest_attn.kernels.builtin.kv_cache_decode import kv_cache_decode
from pytest_attn.kernels.builtin.masked import masked
from pytest_attn.kernels.builtin.sliding_window import sliding_window
from pytest_attn.kernels.builtin.split_kv_decode import merged, split_kv_decode
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

LENGTHS = ((1, 1), (1, 150), (150, 1), (65, 64), (100, 150), (150, 100))
SHORT_LENGTHS = ((1, 1), (1, 30), (30, 1), (13, 12), (20, 30), (30, 20))
"""Of tiles that hold one query and one key: as many as others have at `LENGTHS`, or more."""

TILES = ((1, 1), (7, 64), (64, 7), (200, 300))
SIZES: tuple[tuple[Kernel, dict[str, Any]], ...] = (
    *((flash_v1, {"tile": tile}) for tile in TILES),
    *((flash_v2, {"tile": tile}) for tile in TILES),
    *((masked, {"chunk": chunk}) for chunk in (1, 7, 64, 300)),
    *((split_kv_decode, {"part": part}) for part in (1, 7, 64, 300)),
    *((sliding_window, {"tile": tile}) for tile in TILES),
    *((kv_cache_decode, {"split": split}) for split in (1, 7, 64, 300)),
)


@pytest.mark.parametrize("causal", [False, True], ids=["dense", "causal"])
@pytest.mark.parametrize(
    ("kernel", "size", "lengths"),
    [
        (kernel, size, lengths)
        for kernel, size in SIZES
        for lengths in (SHORT_LENGTHS if size.get("tile") == (1, 1) else LENGTHS)
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_any_size_is_right(kernel: Kernel, size: dict[str, Any], lengths: tuple[int, int], causal: bool) -> None:
    case = Case(*lengths, head_dim=16, batch=2, dtype="float16", causal="bottom-right" if causal else None)
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=1)
    tensors = (inputs.query, inputs.key, inputs.value)
    found = Output(*kernel(*tensors, scale=problem.scale, causal=causal, return_lse=True, **size))
    verdict = judge(problem, inputs, found, stream(problem, inputs), kernel)
    assert verdict.passed, verdict.summary


@pytest.mark.parametrize("kernel", [flash_v1, flash_v2], ids=lambda kernel: kernel.name)
def test_tiles_beyond_the_causal_diagonal_are_not_touched(kernel: Kernel) -> None:
    query, key, value = torch.randn(3, 1, 1, 128, 8)
    key[..., 64:, :] = value[..., 64:, :] = torch.nan
    out = kernel(query, key, value, scale=1.0, causal=True, tile=(64, 64))
    assert bool(out[..., :64, :].isfinite().all())
    assert bool(out[..., 64:, :].isnan().all())


def test_parts_merge_by_the_weight_that_their_keys_carry() -> None:
    """Keys of equal weight: three in one part, one in the other, none in the last."""
    values = torch.tensor([[[[1.0]]], [[[5.0]]], [[[0.0]]]])
    lses = torch.tensor([[[3.0]], [[1.0]], [[0.0]]]).log()
    out, lse = merged([*zip(values.unsqueeze(1), lses.unsqueeze(1), strict=True)])
    assert out.item() == pytest.approx(2.0)
    assert lse.exp().item() == pytest.approx(4.0)


def test_a_row_without_keys_in_any_part_is_zero_with_lse_minus_infinity() -> None:
    out, lse = merged([(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1), -torch.inf))] * 2)
    assert out.item() == 0.0
    assert lse.item() == -torch.inf
