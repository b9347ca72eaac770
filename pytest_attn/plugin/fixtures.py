"""The fixtures: translation between pytest and the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_attn.plugin.awaken import run_of

if TYPE_CHECKING:
    import torch

    from pytest_attn.execution.cell import Cell
    from pytest_attn.kernels.kernel import Kernel
    from pytest_attn.plugin.attn import Attn
    from pytest_attn.plugin.latency import AttnBenchmark
    from pytest_attn.plugin.selection import CellParameter
    from pytest_attn.problem.frame import FrameWidths


@pytest.fixture
def attn_cell(request: pytest.FixtureRequest) -> Cell:
    """The cell of a parametrized test; skips the test where the cell does not run."""
    from pytest_attn.plugin.attn import ATTEMPT, keep

    parameter: CellParameter = request.param
    run = run_of(request.config)
    request.node.stash[ATTEMPT] = request.node.stash.get(ATTEMPT, 0) + 1
    cell = run.session.cell(parameter.kernel, parameter.case, parameter.sweep)
    skipped = cell.skipped()
    if skipped is not None:
        skipped = run.required(skipped)
        keep(request.node, skipped)
        if skipped.outcome == "failed":
            pytest.fail(skipped.message, pytrace=False)
        pytest.skip(skipped.reason)
    return cell


@pytest.fixture
def attn(attn_cell: Cell, request: pytest.FixtureRequest) -> Attn:
    """One kernel on one case: `attn.check()` runs and judges it."""
    from pytest_attn.plugin.attn import Attn

    return Attn(attn_cell, request.node)


@pytest.fixture
def problem(attn_cell: Cell) -> Any:
    """The `Problem` of the case."""
    return attn_cell.problem


def _cell_of(request: pytest.FixtureRequest) -> Cell | None:
    return request.getfixturevalue("attn_cell") if "attn_cell" in request.fixturenames else None


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """The `Kernel` under test."""
    cell = _cell_of(request)
    return cell.kernel if cell else run_of(request.config).session.kernel(request.param)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """The `torch.device` that kernels run on (`--attn-device`)."""
    return run_of(request.config).session.device.torch


@pytest.fixture
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """The `torch.dtype` of the case; without a case, each of bfloat16, float16 and float32."""
    from pytest_attn.problem.problem import torch_dtype

    cell = _cell_of(request)
    return torch_dtype(cell.case.dtype if cell else request.param)


@pytest.fixture
def block_shape(request: pytest.FixtureRequest) -> tuple[int, int] | None:
    """(query block, key block) of the case, None where it has none; without a case, each of the 16 published ones."""
    cell = _cell_of(request)
    return cell.case.block_shape if cell else request.param


@pytest.fixture
def frame_widths(request: pytest.FixtureRequest, block_shape: tuple[int, int] | None) -> FrameWidths:
    """The `FrameWidths` of the case; without a case, none and the published small frame of each block shape."""
    from pytest_attn.problem.frame import FrameWidths

    cell = _cell_of(request)
    if cell:
        return cell.case.frame or FrameWidths()
    return FrameWidths.small(block_shape) if request.param and block_shape else FrameWidths()


@pytest.fixture
def attn_repetition(request: pytest.FixtureRequest) -> int:
    """Which repetition of its benchmark a test is, from 0; tests run several times only in processes that measure."""
    return int(getattr(request, "param", 0))


@pytest.fixture
def attn_benchmark(attn: Attn, benchmark: Any, attn_repetition: int, request: pytest.FixtureRequest) -> AttnBenchmark:
    """One kernel on one case, to be timed: `attn_benchmark()` judges it first."""
    from pytest_attn.plugin.latency import TIMER, AttnBenchmark
    from pytest_attn.plugin.latency_tests import ALONE

    if hasattr(request.config, "workerinput"):
        pytest.fail(ALONE, pytrace=False)
    marker = request.node.get_closest_marker("benchmark")
    return AttnBenchmark(attn, benchmark, request.node, marker.kwargs["timer"], request.config.stash[TIMER])
