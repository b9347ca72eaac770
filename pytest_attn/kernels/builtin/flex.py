"""PyTorch's FlexAttention (Dong et al., 2024): a mask is a function of positions, and blocks without any are skipped.

On a CPU it runs as plain operations over the whole score matrix: compiled there, it gives no log-sum-exp and takes half
a minute to compile. Elsewhere it is compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import flex_attention as flex_module

from pytest_attn.kernels.kernel import Output, Run, kernel
from pytest_attn.kernels.numerics import BLAS_CHAIN, Numerics
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal
from pytest_attn.problem.problem import Problem

LEAST_BLOCK = 128
"""Compiled kernels take blocks that are multiples of their own tiles, which this is."""


class FlexKernel:
    """Set-up converts the mask and, but on a CPU, compiles."""

    def prepare(self, problem: Problem, inputs: Inputs) -> Run:
        """A run of `flex_attention` with the mask of the problem."""
        query, key, value = inputs.query, inputs.key, inputs.value
        on_cpu = query.device.type == "cpu"
        attention: Any = flex_module.flex_attention
        if not on_cpu:
            attention = torch.compile(attention, dynamic=False)
        keywords: dict[str, Any] = {"block_mask": flex_mask(problem, query.device), "scale": problem.scale}
        keywords["enable_gqa"] = problem.group > 1
        if problem.wants_lse:
            keywords |= _asking_for_lse()

        def run() -> Output | Tensor:
            if not on_cpu:
                return _output(attention(query, key, value, **keywords))
            with _uncompiled():
                return _output(attention(query, key, value, **keywords))

        return run


def flex_mask(problem: Problem, device: torch.device) -> flex_module.BlockMask | None:
    """The mask of a problem as FlexAttention takes it; None where there is none."""
    queries, keys = problem.query_length, problem.key_length
    if isinstance(problem.mask, BlockSparse):
        block_mask = problem.mask.block_mask.to(device)
        if all(size % LEAST_BLOCK == 0 for size in block_mask.block_shape):
            return block_mask.flex()
        batch, heads = block_mask.blocks.shape[:2]
        return flex_module.create_block_mask(block_mask.mask_mod, batch, heads, queries, keys, device)
    if isinstance(problem.mask, Causal):
        offset = problem.mask.offset(problem.lengths)

        def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return key <= query + offset

        return flex_module.create_block_mask(visible, None, None, queries, keys, device)
    return None


def _asking_for_lse() -> dict[str, Any]:
    # `return_lse` gives way to `return_aux` in newer versions.
    auxiliary = getattr(flex_module, "AuxRequest", None)
    return {"return_lse": True} if auxiliary is None else {"return_aux": auxiliary(lse=True)}


def _output(found: Any) -> Output | Tensor:
    if isinstance(found, Tensor):
        return found
    out, beside = found
    return Output(out, beside if isinstance(beside, Tensor) else beside.lse)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Without the tracer, which would trace every new shape and refuse the ninth."""
    name = "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"
    before = getattr(flex_module, name, False)
    setattr(flex_module, name, True)
    try:
        yield
    finally:
        setattr(flex_module, name, before)


FLEX = kernel(
    name="flex",
    devices=("cpu", "cuda"),
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    block_sparse=True,
    value_dim=True,
    strided=True,
    deterministic=True,
    # Weights are divided and rounded before the product with the values, which is one of the dtype of the inputs.
    numerics=Numerics(normalized=True, exp_error=2.0**-23, chain=BLAS_CHAIN),
)(FlexKernel)
"""FlexAttention as a kernel."""
