"""The budget of variants fits kernels that round as a flash kernel does, and not much more than they do."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from pytest_attn.execution.session import Session
from pytest_attn.kernels.builtin.eager import eager
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import changed, sinks
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.sweep import find_sweep


class Flash:
    """One tile of all keys: float32 logits, weights of the largest logit rounded to the dtype, divided at the end.

    `prepare` is given whole inputs: claims no storage."""

    def prepare(self, problem: Problem, inputs: Inputs) -> Callable[[], Output]:
        def run() -> Output:
            out = inputs.query.new_zeros(problem.out_shape)
            lse = inputs.query.new_zeros(problem.lse_shape, dtype=torch.float32)
            for batch in range(problem.batch):
                for head in range(problem.query_heads):
                    out[batch, head], lse[batch, head] = self.head(problem, inputs, batch, head)
            return Output(out, lse if problem.wants_lse else None)

        return run

    def head(self, problem: Problem, inputs: Inputs, batch: int, head: int) -> tuple[torch.Tensor, torch.Tensor]:
        source, rows = head // problem.group, range(problem.query_length)
        logits = inputs.query[batch, head].float() @ inputs.key[batch, source].float().T * problem.scale
        logits = changed(problem, inputs, logits, batch, head, rows, torch.arange(problem.key_length))
        allowed = problem.mask.allowed(problem.lengths, batch, head, rows, range(problem.key_length))
        logits = logits.masked_fill(~allowed, -torch.inf)
        sink = sinks(problem, inputs)
        alone = torch.full((len(rows),), -torch.inf) if sink is None else sink[head].expand(len(rows))
        largest = torch.maximum(logits.amax(dim=1), alone)
        shift = largest.masked_fill(largest.isneginf(), 0.0)
        weights = (logits - shift.unsqueeze(1)).exp()
        total = weights.sum(dim=1) + (alone - shift).exp()
        value = inputs.value[batch, source].float()
        product = weights.to(problem.dtype).float() @ value / total.unsqueeze(1)
        return product.nan_to_num(0.0).to(problem.dtype), shift + total.log()


CLAIMS = replace(eager.capabilities, unread_padding=False, variants=eager.capabilities.variants)
NUMERICS = Numerics(tanh_error=2.0**-22)


def cases() -> list[Case]:
    """Cells of the sweep core in half types whose tensors and results keep their form."""
    found = [case for case in find_sweep("core") if case.dtype in ("bfloat16", "float16") and case.oracle == "exact"]
    kept = [case for case in found if case.variants and not any(v.stores or v.splits for v in case.variants)]
    return kept[::4]


def figures(case: Case, **fields: Any) -> dict[str, float]:
    kernel = Kernel("flash", Flash(), CLAIMS, lambda problem: replace(NUMERICS, **fields))  # type: ignore[arg-type]
    record = Session(Options()).cell(kernel, case).record()
    assert (record.outcome, record.reason) == ("passed", "")
    return record.figures


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_a_flash_kernel_is_green(case: Case) -> None:
    figures(case)


def test_the_budget_is_what_a_flash_kernel_shows() -> None:
    whole = [case for case in cases() if case.recipe == "normal" and case.ask != "lse" and case.query_length >= 64]
    ratios = [figures(case)["out_rms"] for case in whole]
    assert len(ratios) >= 5
    # Rows of one key round nothing but their result.
    assert max(ratios) < 1.05
    assert statistics.median(ratios) > 0.8
