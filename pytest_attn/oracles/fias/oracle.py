"""The FIAS oracle: a problem put to the model of `npu_fused_infer_attention_score`."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn.oracles.fias.model import fused_infer_attention_score
from pytest_attn.oracles.reference import Reference
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal, Dense
from pytest_attn.problem.problem import Problem

MOST_PAIRS = 2048 * 2048
"""The operator's mask costs a byte per pair and its model whole rows of scores; larger problems go to the exact
oracle."""

COMPRESSED = 2048
"""Side of the operator's compressed causal mask."""


def fias_takes(problem: Problem) -> bool:
    """Whether the operator has arguments for the problem: LSE only, one mask for all heads, few enough pairs."""
    if problem.variants or not isinstance(problem.mask, Dense | Causal | BlockSparse):
        return False
    one_mask = problem.query_heads == 1 or not isinstance(problem.mask, BlockSparse)
    return problem.ask == "lse" and one_mask and problem.query_length * problem.key_length <= MOST_PAIRS


def fias(problem: Problem, inputs: Inputs) -> Reference:
    """The LSE of a problem from the operator's model, its empty rows (+inf there) put as -inf.

    Raises ValueError where the operator has no arguments for the problem's mask.
    """
    sparse_mode, mask = _mode_and_mask(problem)
    _, lse = fused_infer_attention_score(
        inputs.query.cpu(),
        inputs.key.cpu(),
        inputs.value.cpu(),
        atten_mask=mask,
        num_heads=problem.query_heads,
        num_key_value_heads=problem.key_heads,
        scale=problem.scale,
        input_layout="BNSD",
        sparse_mode=sparse_mode,
        # 2 asks for the correction of rows that the mask leaves empty.
        inner_precise=2 if problem.query_length > 1 else 0,
        softmax_lse_flag=True,
    )
    lse = lse.squeeze(3)
    return Reference("fias", torch.where(torch.isposinf(lse) | (lse <= -1e11), -torch.inf, lse))


def _mode_and_mask(problem: Problem) -> tuple[int, Tensor | None]:
    mask = problem.mask
    if isinstance(mask, Dense):
        return 0, None
    if isinstance(mask, Causal) and problem.query_length == 1:
        # The operator ignores sparse_mode for one query; the last query sees every key, the first one sees key 0.
        hidden = torch.arange(problem.key_length).expand(problem.batch, 1, 1, -1) > 0
        return 0, None if mask.align == "bottom-right" else hidden
    if isinstance(mask, Causal):
        compressed = torch.ones(COMPRESSED, COMPRESSED, dtype=torch.bool).triu(1)
        return (3 if mask.align == "bottom-right" else 2), compressed
    if isinstance(mask, BlockSparse) and problem.query_heads == 1:
        return 1, ~mask.block_mask.token_mask()
    raise ValueError(f"fias oracle: no sparse_mode for {type(mask).__name__} with {problem.query_heads} heads")
