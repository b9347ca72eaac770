"""The built-in kernels, all alike, on problems that are small and awkward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import pytest_attn
from pytest_attn.execution.api import judged
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.resolve import BUILT_IN, find_kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, NumSplits, Packed, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import Alignment

KERNELS = {name: find_kernel(name) for name in BUILT_IN}

# What kernels claim is written down here, not asked of them: one that loses a claim fails the test of what it claimed.
SMOKE_CELLS = {
    "eager": 177,
    "sdpa": 138,
    "block_sparse": 135,
    "naive": 177,
    "flash_v1": 141,
    "flash_v2": 141,
    "gqa": 150,
    "mqa": 123,
    "masked": 177,
    "flex": 177,
    "split_kv_decode": 150,
    "sliding_window": 138,
    "kv_cache_decode": 150,
}
"""How many cells of the sweep `smoke` run."""

COMMON = ("window_size", "seqused_k", "softcap", "alibi_slopes", "attn_bias")
VARIANTS_OF = {
    "eager": {*COMMON, "sinks", "cu_seqlens", "block_table"},
    "sdpa": {*COMMON, "cu_seqlens"} - {"softcap"},
    "block_sparse": set(),
    "naive": {*COMMON, "sinks", "cu_seqlens", "block_table"},
    "flash_v1": {*COMMON, "sinks", "cu_seqlens"},
    "flash_v2": {*COMMON, "sinks", "cu_seqlens", "block_table"},
    "gqa": {*COMMON, "sinks", "cu_seqlens", "block_table"},
    "mqa": {*COMMON, "sinks", "cu_seqlens", "block_table"},
    "masked": {*COMMON, "sinks", "cu_seqlens"},
    "flex": {*COMMON},
    "split_kv_decode": {*COMMON, "sinks", "block_table", "num_splits"},
    "sliding_window": {*COMMON, "sinks", "cu_seqlens"},
    "kv_cache_decode": {*COMMON, "sinks", "block_table"},
}
BACKWARD = ("eager", "sdpa", "naive", "flash_v2", "gqa", "mqa")
BLOCKWISE = ("eager", "block_sparse", "naive", "masked", "flex")
CAUSAL = tuple(name for name in BUILT_IN if name != "block_sparse")


def claiming(capability: str) -> tuple[str, ...]:
    """The built-in kernels that claim a capability."""
    return tuple(name for name in BUILT_IN if getattr(KERNELS[name].capabilities, capability))


def output_of(returned: Any) -> Output:
    """What a kernel returned, in one form."""
    return returned if isinstance(returned, Output) else Output(*returned)


def result_of(kernel: Kernel, problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """(out, lse) of a kernel."""
    output = output_of(kernel.prepare(problem, Inputs.draw(problem, seed=1))())
    assert output.lse is not None
    return output.out, output.lse


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what is true of a cell is kept for the next kernel."""
    return tmp_path_factory.mktemp("references")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOKE_CELLS)
def test_a_built_in_kernel_is_right_wherever_it_claims_to_be(name: str, references: Path) -> None:
    records = pytest_attn.check_kernel(name, sweep="smoke", cache=references)
    assert [record.message for record in records if record.outcome == "failed"] == []
    assert sum(record.ran for record in records) == SMOKE_CELLS[name]


def test_the_claims_of_the_built_in_kernels_are_those_that_are_judged() -> None:
    assert {name: set(KERNELS[name].capabilities.variants) for name in BUILT_IN} == VARIANTS_OF
    assert [claiming(capability) for capability in ("backward", "block_sparse", "causal")] == [
        *(BACKWARD, BLOCKWISE, CAUSAL)
    ]
    assert tuple(SMOKE_CELLS) == tuple(BUILT_IN)


VARIANTS = (
    *(WindowSize(9, 3), KeyLengths(), Packed(), Paged(16), Softcap(2.0), Alibi(), Bias(True, True), Sinks()),
    NumSplits(3),
)
CLAIMED = [(name, v) for name, capabilities in VARIANTS_OF.items() for v in VARIANTS if v.capability in capabilities]


def test_every_variant_that_a_built_in_kernel_claims_is_judged() -> None:
    assert {variant.capability for variant in VARIANTS} == set().union(*VARIANTS_OF.values())


@pytest.mark.parametrize(("name", "variant"), CLAIMED, ids=str)
def test_a_built_in_kernel_is_right_on_every_variant_that_it_claims(name: str, variant: Variant) -> None:
    case = Case(5, 66, batch=3, query_heads=2, key_heads=1, head_dim=16, dtype="float32", variants=(variant,))
    takes = KERNELS[name].capabilities.gqa
    records = judged(KERNELS[name], [case if takes else replace(case, key_heads=2)], Session(Options()))
    assert [(record.outcome, record.reason) for record in records] == [("passed", "")]


@pytest.mark.parametrize("causal", [None, "bottom-right", "top-left"])
@pytest.mark.parametrize("name", BACKWARD)
def test_a_built_in_kernel_has_the_gradients_that_it_claims(name: str, causal: Alignment | None) -> None:
    case = Case(70, 66, query_heads=2, head_dim=16, dtype="float32", causal=causal, ask="grad")
    one_key_head = replace(case, key_heads=1)
    cases = [one_key_head if KERNELS[name].capabilities.gqa else case]
    assert [record.reason for record in judged(KERNELS[name], cases, Session(Options()))] == [""]


@pytest.mark.parametrize("name", BLOCKWISE)
def test_a_query_block_without_keys_is_zero_with_lse_minus_infinity(name: str) -> None:
    blocks = torch.ones(1, 2, 3, 2, dtype=torch.bool)
    blocks[0, 1, 1] = False
    mask = BlockSparse(BlockMask(blocks, (64, 64), 150, 100))
    problem = Problem(1, 2, 2, 150, 100, 32, 32, torch.float32, 0.2, mask)
    out, lse = result_of(KERNELS[name], problem)
    assert bool((out[0, 1, 64:128] == 0).all())
    assert bool(torch.isneginf(lse[0, 1, 64:128]).all())
    assert bool(torch.isfinite(lse[0, 0]).all())


@pytest.mark.parametrize("name", CAUSAL)
def test_queries_before_the_first_key_are_zero_with_the_lse_that_is_declared(name: str) -> None:
    problem = Problem(1, 1, 1, 150, 70, 32, 32, torch.float32, 0.2, Causal("bottom-right"))
    out, lse = result_of(KERNELS[name], problem)
    assert bool((out[0, 0, :80] == 0).all())
    assert set(lse[0, 0, :80].tolist()) == {KERNELS[name].empty_rows.lse}
    assert bool((out[0, 0, 80:] != 0).all())


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_run_can_be_repeated(name: str) -> None:
    problem = Problem(1, 1, 1, 100, 130, 32, 32, torch.float32, 0.2)
    run = KERNELS[name].prepare(problem, Inputs.draw(problem, seed=1))
    kept = output_of(run()).clone()
    again = output_of(run())
    assert torch.equal(again.out, kept.out)
