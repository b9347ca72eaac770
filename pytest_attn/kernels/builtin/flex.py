"""PyTorch's FlexAttention (Dong et al., 2024): masks and changes of logits are functions of positions, and blocks
without any pair are skipped.

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

from pytest_attn.kernels.builtin.widened import blas_chain, last_place
from pytest_attn.kernels.kernel import Output, PreparedRun, kernel
from pytest_attn.kernels.numerics import FEW_ROWS, Numerics
from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal, Dense, Ragged, Window, parts
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import Softcap

LEAST_BLOCK = 128
"""Compiled kernels take blocks that are multiples of their own tiles, which this is."""


class FlexKernel:
    """Set-up converts the mask and the changes of logits and, but on a CPU, compiles."""

    def prepare(self, problem: Problem, inputs: Inputs) -> PreparedRun:
        """A run of `flex_attention` with the mask of the problem."""
        query, key, value = inputs.query, inputs.key, inputs.value
        on_cpu = query.device.type == "cpu"
        attention: Any = flex_module.flex_attention
        if not on_cpu:
            attention = torch.compile(attention, dynamic=False)
        keywords: dict[str, Any] = {"block_mask": flex_mask(problem, query.device), "scale": problem.scale}
        keywords["score_mod"] = flex_score(problem, inputs)
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
    masks, blocks = [mask for mask in parts(problem.mask) if not isinstance(mask, Dense)], None
    for mask in masks:
        if isinstance(mask, BlockSparse):
            blocks = mask.block_mask.to(device)
    if blocks and masks == [problem.mask] and all(size % LEAST_BLOCK == 0 for size in blocks.block_shape):
        return blocks.flex()
    ragged = isinstance(problem.mask, Ragged)
    if not masks and not ragged:
        return None
    visible = [_visible(problem, device), *([blocks.mask_mod] if blocks else [])]
    batch = problem.batch if blocks or ragged else None
    heads = problem.query_heads if blocks else None
    return flex_module.create_block_mask(flex_module.and_masks(*visible), batch, heads, queries, keys, device)


def _visible(problem: Problem, device: torch.device) -> flex_module._mask_mod_signature:
    """The pairs that causal masks, windows and lengths allow, all of which end at the last key of a sequence."""
    lengths = _lengths(problem, device)
    left = right = problem.query_length + problem.key_length
    top_left = False
    for mask in parts(problem.mask):
        if isinstance(mask, Causal):
            top_left |= mask.align == "top-left"
            right = 0 if mask.align == "bottom-right" else right
        elif isinstance(mask, Window):
            left = left if mask.left is None else mask.left
            right = right if mask.right is None else min(mask.right, right)

    def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        ahead = key - query - lengths[batch] + problem.query_length
        seen = (ahead <= right) & (ahead >= -left) & (key < lengths[batch])
        return seen & (key <= query) if top_left else seen

    return visible


def flex_score(problem: Problem, inputs: Inputs) -> flex_module._score_mod_signature | None:
    """What the variants of a problem make of its logits, as FlexAttention takes it; None where they change nothing."""
    if not problem.changes_logits:
        return None
    lengths = _lengths(problem, inputs.query.device)
    cap = next((variant.cap for variant in problem.variants if isinstance(variant, Softcap)), None)
    slopes, bias = (inputs.extras.get(name) for name in ("alibi_slopes", "attn_bias"))
    if bias is not None:
        bias = bias.expand(problem.batch, problem.query_heads, -1, -1)

    def changed(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if cap is not None:
            score = cap * torch.tanh(score / cap)
        if slopes is not None:
            score = score - slopes[head].to(score.dtype) * (key - query - lengths[batch] + problem.query_length).abs()
        return score if bias is None else score + bias[batch, head, query, key]

    return changed


def _lengths(problem: Problem, device: torch.device) -> Tensor:
    return torch.tensor([problem.lengths_of(batch).key for batch in range(problem.batch)], device=device)


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


def numerics(problem: Problem) -> Numerics:
    """Weights are divided and rounded before the product with the values, which is one of the dtype of the inputs."""
    last = last_place(problem)
    return Numerics(normalized=True, exp_error=last, tanh_error=2 * last, chain=blas_chain(problem, FEW_ROWS + 1))


FLEX = kernel(
    name="flex",
    devices=("cpu", "cuda"),
    dtypes=BUILT_IN_DTYPES,
    lse=True,
    causal=True,
    causal_top_left=True,
    gqa=True,
    block_sparse=True,
    block_sparse_causal=True,
    value_dim=True,
    strided=True,
    bsnd=True,
    deterministic=True,
    window_size=True,
    seqused_k=True,
    softcap=True,
    alibi_slopes=True,
    attn_bias=True,
    numerics=numerics,
)(FlexKernel)
"""`torch.nn.attention.flex_attention` as a kernel."""
