"""The exact gradients agree with torch's autograd of the definition written out in float64."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from test_agreement import Small, smalls, tokens
from torch import Tensor

from pytest_attn.oracles import gradient_tiles
from pytest_attn.oracles.cache import ReferenceCache
from pytest_attn.oracles.exact import exact
from pytest_attn.oracles.reference import Reference, ReferenceGradients
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import KeyLengths, Packed, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import Alignment

EPSILONS = 4
"""What rounding may do to a gradient, in epsilons of the oracle's precision times its size without cancellation."""


def exactly(problem: Problem, inputs: Inputs, tile: tuple[int, int] = (512, 1024)) -> Reference:
    """The exact reference, its backward cut into tiles of this size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient_tiles, "TILE_ROWS", tile[0])
        patch.setattr(gradient_tiles, "TILE_KEYS", tile[1])
        return exact(problem, inputs, ReferenceCache())


def by_autograd(problem: Problem, inputs: Inputs, allowed: Tensor) -> tuple[ReferenceGradients, float]:
    """Gradients by autograd in float64 where pairs are allowed, and the size of the largest sum of absolute terms."""
    assert inputs.grad_out is not None
    query, key, value = (t.double().requires_grad_() for t in (inputs.query, inputs.key, inputs.value))
    keys, values = (t.repeat_interleave(problem.group, dim=1) for t in (key, value))
    scores = (query @ keys.mT * problem.scale).masked_fill(~allowed, -math.inf)
    weights = scores.softmax(dim=3).masked_fill(~allowed, 0.0)
    grad_out = inputs.grad_out.double()
    # A row without keys is softmax of nothing, NaN; masked out of the product it gives no gradient either.
    dq, dk, dv = torch.autograd.grad(weights @ values, (query, key, value), grad_out)
    query_size, key_size, value_size, grad_size, logit_size = (
        max(1.0, float(tensor.detach().nan_to_num(0.0, 0.0, 0.0).abs().max()))
        for tensor in (query, key, value, grad_out, scores)
    )
    terms = (problem.query_length * problem.group) ** 0.5
    size = logit_size * grad_size * value_size * problem.value_dim * max(query_size, key_size) * terms
    return ReferenceGradients(*(tensor.nan_to_num(0.0) for tensor in (dq, dk, dv))), size


def assert_close(
    found: ReferenceGradients | None, expected: ReferenceGradients, size: float, dtype: torch.dtype
) -> None:
    assert found is not None
    for name, mine, theirs in zip(found._fields, found, expected, strict=True):
        limit = EPSILONS * torch.finfo(dtype).eps * size
        assert float((mine - theirs).abs().max()) <= limit, name


@settings(max_examples=60, deadline=None)
@given(smalls())
def test_gradients_are_those_of_autograd(small: Small) -> None:
    problem = replace(small.problem, ask="grad")
    inputs = Inputs.draw(problem, 3)
    expected, size = by_autograd(problem, inputs, tokens(problem))
    assert_close(exactly(problem, inputs, small.tile).grads, expected, size, problem.oracle_dtype)


def test_keys_of_no_query_and_queries_without_keys_have_no_gradient() -> None:
    blocks = torch.tensor([[True, False], [False, False]]).expand(1, 2, 2, 2)
    problem = replace(
        Problem.of(Case(8, 6, head_dim=4, query_heads=2, ask="grad")), mask=BlockSparse(BlockMask(blocks, (4, 3), 8, 6))
    )
    grads = exactly(problem, Inputs.draw(problem, 1)).grads
    assert grads is not None
    assert not grads.dq[:, :, 4:].any()
    assert not grads.dk[:, :, 3:].any()
    assert not grads.dv[:, :, 3:].any()
    assert grads.dk[:, :, :3].all()


def test_gradients_of_one_key_head_are_summed_over_its_group() -> None:
    shared = Problem.of(Case(9, 7, head_dim=4, query_heads=4, key_heads=2, dtype="float32", ask="grad"))
    inputs = Inputs.draw(shared, 1)
    apart = replace(shared, key_heads=4)
    repeated = [tensor.repeat_interleave(2, dim=1) for tensor in (inputs.key, inputs.value)]
    given = Inputs(inputs.query, *repeated, "repeated", grad_out=inputs.grad_out)
    grads, expanded = exactly(shared, inputs).grads, exactly(apart, given).grads
    assert grads is not None
    assert expanded is not None

    def summed(tensor: Tensor) -> Tensor:
        return tensor.view(1, 2, 2, 7, 4).sum(dim=2)

    torch.testing.assert_close(grads.dk, summed(expanded.dk))
    torch.testing.assert_close(grads.dv, summed(expanded.dv))


VARIANTS = [(WindowSize(3, 1),), (WindowSize(None, 2), KeyLengths()), (KeyLengths(),), (Packed(),)]


@pytest.mark.parametrize("causal", [None, "bottom-right"])
@pytest.mark.parametrize("variants", VARIANTS, ids=lambda variants: "-".join(each.token for each in variants))
def test_gradients_of_windows_and_ragged_batches_are_those_of_autograd(
    variants: tuple[Variant, ...], causal: Alignment
) -> None:
    case = Case(9, 7, head_dim=4, batch=6, query_heads=2, key_heads=1, dtype="float32", causal=causal, ask="grad")
    case = replace(case, variants=variants)
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, 3)
    heads = product(range(6), range(2))
    pairs = [problem.mask.allowed(problem.lengths, *head, range(9), range(7)) for head in heads]
    expected, size = by_autograd(problem, inputs, torch.stack(pairs).view(6, 2, 9, 7))
    assert_close(exactly(problem, inputs, (4, 3)).grads, expected, size, torch.float64)


def test_gradients_are_cached_apart_from_the_forward_pass() -> None:
    problem = Problem.of(Case(9, 7, head_dim=4, ask="grad"))
    inputs = Inputs.draw(problem, 1)
    cache = ReferenceCache()
    first, second = exact(problem, inputs, cache), exact(problem, inputs, cache)
    assert first.grads is not None
    assert second.grads is not None
    assert first.grads.dq is second.grads.dq
    assert exact(replace(problem, ask="both"), inputs, cache).grads is None
