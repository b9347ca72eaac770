"""Plain attention in the input's dtype is what PyTorch computes, for every mask."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pytest_attn.oracles import same_dtype as module
from pytest_attn.oracles.same_dtype import same_dtype
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

CASES = {
    "dense": Case(70, 90, head_dim=32),
    "float16": Case(70, 90, head_dim=32, dtype="float16"),
    "float32": Case(70, 90, head_dim=32, dtype="float32"),
    "gqa": Case(70, 90, head_dim=32, batch=2, query_heads=4, key_heads=2),
    "value_dim": Case(70, 90, head_dim=32, value_dim=16),
    "causal": Case(70, 90, head_dim=32, causal="bottom-right"),
    "top-left": Case(90, 70, head_dim=32, causal="top-left"),
    "empty rows": Case(90, 70, head_dim=32, causal="bottom-right"),
    "block-sparse": Case(256, 300, head_dim=32, query_heads=2, sparsity=0.5, block_shape=(64, 32)),
    "negative scale": Case(70, 90, head_dim=32, causal="bottom-right", scale=-0.3),
}


def written_out(problem: Problem, inputs: Inputs) -> Tensor:
    """The same steps on whole matrices, with torch's own half types."""
    lengths = problem.lengths
    rows, keys = range(lengths.query), range(lengths.key)
    masks = [
        torch.stack([problem.mask.allowed(lengths, b, h, rows, keys) for h in range(problem.query_heads)])
        for b in range(problem.batch)
    ]
    key, value = (t.repeat_interleave(problem.group, dim=1) for t in (inputs.key, inputs.value))
    scores = (inputs.query.float() @ key.float().mT * problem.scale).to(problem.dtype)
    weights = scores.masked_fill(~torch.stack(masks), -torch.inf).softmax(dim=3)
    return torch.where(torch.isnan(weights), 0.0, weights).to(problem.dtype).float() @ value.float()


@pytest.mark.parametrize("name", CASES)
def test_it_is_attention_with_every_step_stored_in_the_dtype(name: str) -> None:
    problem = Problem.of(CASES[name])
    inputs = Inputs.draw(problem, seed=42)
    out = same_dtype(problem, inputs)
    assert out.dtype == problem.dtype
    # A last bit of a score or of a probability may fall either way: a few units of the weight of one key.
    tight = 2e-6 if problem.dtype == torch.float32 else 2 * torch.finfo(problem.dtype).eps
    assert torch.allclose(out.float(), written_out(problem, inputs), rtol=0, atol=tight)


def test_rows_without_keys_are_zero() -> None:
    problem = Problem.of(CASES["empty rows"])
    out = same_dtype(problem, Inputs.draw(problem, seed=42))
    assert bool((out[:, :, :20] == 0).all())
    assert bool((out[:, :, 20:] != 0).any(dim=3).all())


def test_the_rounding_of_the_scores_shows() -> None:
    """Its error is larger than that of a kernel that rounds the probabilities and the output alone."""
    problem = Problem.of(Case(300, 300))
    inputs = Inputs.draw(problem, seed=42)
    scores = inputs.query.float() @ inputs.key.float().mT * problem.scale
    exact = scores.softmax(dim=3) @ inputs.value.float()
    flash = (scores.softmax(dim=3).bfloat16().float() @ inputs.value.float()).bfloat16()
    plain = same_dtype(problem, inputs)
    assert float((plain - exact).square().mean()) > 1.5 * float((flash - exact).square().mean())


def test_rows_are_computed_in_chunks_that_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem.of(CASES["causal"])
    inputs = Inputs.draw(problem, seed=42)
    whole = same_dtype(problem, inputs)
    monkeypatch.setattr(module, "MOST_SCORES", 7 * 90)
    assert torch.allclose(same_dtype(problem, inputs).float(), whole.float(), rtol=0, atol=0.02)
