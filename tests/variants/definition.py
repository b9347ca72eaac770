"""Every variant written out from its words: one row at a time, pair by pair, float64. Knows no mask of the package."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, Packed, Paged, Sinks, Softcap, WindowSize


class Truth(NamedTuple):
    """out `[B, Hq, Sq, Dv]` and lse `[B, Hq, Sq]`, float64."""

    out: Tensor
    lse: Tensor


def by_definition(case: Case, inputs: Inputs) -> Truth:
    """The result of a case with any of the built-in variants, causal or not, block-sparse or not."""
    query, key, value = (tensor.double() for tensor in (inputs.query, inputs.key, inputs.value))
    out = torch.zeros(case.batch, case.query_heads, case.query_length, case.value_dim, dtype=torch.float64)
    lse = torch.full(out.shape[:3], -math.inf, dtype=torch.float64)
    for b in range(case.batch):
        for h in range(case.query_heads):
            source = h // (case.query_heads // case.key_heads)
            if find(case, Sinks):  # rows that are padding have their sink alone, too
                lse[b, h] = float(inputs.extras["sinks"][h])
            for i in range(queries_of(case, inputs, b)):
                logits, values = [], []
                for j in range(length_of(case, inputs, b)):
                    if attends(case, inputs, b, h, i, j):
                        dot = float(query[b, h, i] @ key[b, source, j]) * case.softmax_scale
                        logits.append(changed(case, inputs, dot, b, h, i, j))
                        values.append(value[b, source, j])
                if find(case, Sinks):
                    logits.append(float(inputs.extras["sinks"][h]))
                    values.append(torch.zeros(case.value_dim, dtype=torch.float64))
                if logits:
                    total = torch.tensor(logits, dtype=torch.float64)
                    lse[b, h, i] = total.logsumexp(dim=0)
                    out[b, h, i] = total.softmax(dim=0) @ torch.stack(values)
    return Truth(out, lse)


def find(case: Case, kind: type) -> object | None:
    return next((variant for variant in case.variants if isinstance(variant, kind)), None)


def length_of(case: Case, inputs: Inputs, b: int) -> int:
    """Keys of a sequence."""
    if find(case, Packed):
        ends = inputs.extras["cu_seqlens_k"].tolist()
        return int(ends[b + 1] - ends[b])
    name = "seqused_k" if find(case, KeyLengths) else "cache_seqlens" if find(case, Paged) else None
    return int(inputs.extras[name][b]) if name else case.key_length


def queries_of(case: Case, inputs: Inputs, b: int) -> int:
    """Queries of a sequence."""
    if not find(case, Packed):
        return case.query_length
    ends = inputs.extras["cu_seqlens_q"].tolist()
    return int(ends[b + 1] - ends[b])


def attends(case: Case, inputs: Inputs, b: int, h: int, i: int, j: int) -> bool:
    """Whether query i sees key j, counted from the last of both."""
    ahead = (j - length_of(case, inputs, b)) - (i - queries_of(case, inputs, b))
    window = find(case, WindowSize)
    if isinstance(window, WindowSize):
        if window.left is not None and -ahead > window.left:
            return False
        if window.right is not None and ahead > window.right:
            return False
    if case.causal == "bottom-right" and ahead > 0:
        return False
    if case.causal == "top-left" and j > i:
        return False
    if case.pattern is not None:
        rows, cols = case.pattern.block_shape
        seed = list(case.head_seeds())[b * case.query_heads + h]
        return j // cols in case.pattern.kept(seed)[i // rows]
    return True


def changed(case: Case, inputs: Inputs, logit: float, b: int, h: int, i: int, j: int) -> float:
    softcap, bias = find(case, Softcap), find(case, Bias)
    if isinstance(softcap, Softcap):
        logit = softcap.cap * math.tanh(logit / softcap.cap)
    if find(case, Alibi):
        distance = abs(i + length_of(case, inputs, b) - queries_of(case, inputs, b) - j)
        logit -= float(inputs.extras["alibi_slopes"][h]) * distance
    if isinstance(bias, Bias):
        given = inputs.extras["attn_bias"]
        logit += float(given.expand(case.batch, case.query_heads, -1, -1)[b, h, i, j])
    return logit
