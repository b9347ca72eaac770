"""The oracles agree with each other, and with the definition written out in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_attn.oracles import slabs
from pytest_attn.oracles.analytic import zero_query
from pytest_attn.oracles.fias.oracle import fias, fias_takes
from pytest_attn.oracles.loop import loop
from pytest_attn.oracles.reference import Moments, Reference
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.block_mask import BlockMask
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal, Dense, Mask
from pytest_attn.problem.problem import Problem
from tests.oracles.tiles import tiles

DTYPES = [torch.bfloat16, torch.float16, torch.float32]
TILES = [(512, 1024), (8, 16), (3, 7)]
EPSILONS = 4
"""What rounding may do to a result, in epsilons of the oracle's precision times the size of the scores; seen: 1.1."""


@dataclass(frozen=True)
class Small:
    """A problem with its inputs, and the tiles that the streaming engine is to cut it into."""

    problem: Problem
    inputs: Inputs
    tile: tuple[int, int] = (512, 1024)
    together: int = slabs.TOGETHER


def streamed(small: Small) -> Reference:
    with tiles(*small.tile, small.together):
        return stream(small.problem, small.inputs)


def random_blocks(problem: Problem, shape: tuple[int, int], share: float, seed: int) -> BlockSparse:
    """A block mask that keeps each block with probability `share`; rows may stay without keys."""
    grid = (-(-problem.query_length // shape[0]), -(-problem.key_length // shape[1]))
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.rand((problem.batch, problem.query_heads, *grid), generator=generator) < share
    return BlockSparse(BlockMask(blocks, shape, problem.query_length, problem.key_length))


@st.composite
def masks(draw: st.DrawFn, dense: Problem) -> Mask:
    """Dense, causal of both alignments, or blocks of up to 20 x 20 tokens."""
    kind = draw(st.sampled_from(["dense", "bottom-right", "top-left", "blocks", "blocks"]))
    if kind == "dense":
        return Dense()
    if kind != "blocks":
        return Causal(kind)
    shape = draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    return random_blocks(dense, shape, draw(st.sampled_from([0.0, 0.2, 0.6, 1.0])), draw(st.integers(0, 999)))


@st.composite
def smalls(draw: st.DrawFn, *, zero: bool = False) -> Small:
    """Batch 1-2, grouped heads, up to 70 tokens, up to 40 dims, three dtypes, every mask, any scale of either sign."""
    key_heads, length, dim = draw(st.integers(1, 2)), st.integers(1, 70), st.integers(1, 40)
    dense = Problem(
        batch=draw(st.integers(1, 2)),
        query_heads=key_heads * draw(st.integers(1, 2)),
        key_heads=key_heads,
        query_length=draw(length),
        key_length=draw(length),
        head_dim=draw(dim),
        value_dim=draw(dim),
        dtype=draw(st.sampled_from(DTYPES)),
        scale=draw(st.floats(-2.0, 2.0)),
    )
    problem = replace(dense, mask=draw(masks(dense)))
    inputs = Inputs.draw(problem, draw(st.integers(0, 999)))
    if zero:
        inputs.query.zero_()
    return Small(problem, inputs, draw(st.sampled_from(TILES)), draw(st.sampled_from([slabs.TOGETHER, 1, 200])))


def tokens(problem: Problem) -> Tensor:
    """bool [B, H, Sq, Skv], from the words of each mask."""
    i, j = torch.arange(problem.query_length)[:, None], torch.arange(problem.key_length)
    if isinstance(problem.mask, BlockSparse):
        rows, cols = problem.mask.block_mask.block_shape
        return problem.mask.block_mask.blocks[:, :, i // rows, j // cols]
    allowed = torch.ones(problem.query_length, problem.key_length, dtype=torch.bool)
    if isinstance(problem.mask, Causal):
        ends = problem.query_length - problem.key_length if problem.mask.align == "bottom-right" else 0
        allowed = j + ends <= i
    return allowed.expand(problem.batch, problem.query_heads, -1, -1)


def scores(small: Small) -> Tensor:
    """float64 [B, H, Sq, Skv], scaled, before the mask."""
    key = small.inputs.key.double().repeat_interleave(small.problem.group, dim=1)
    return small.inputs.query.double() @ key.mT * small.problem.scale


def by_definition(small: Small) -> Reference:
    """out, lse and moments in float64, whole rows at once."""
    masked = scores(small).masked_fill(~tokens(small.problem), -math.inf)
    lse = torch.logsumexp(masked, dim=-1)
    weights = torch.where(lse.isneginf().unsqueeze(-1), 0.0, (masked - lse.unsqueeze(-1)).exp())
    value = small.inputs.value.double().repeat_interleave(small.problem.group, dim=1)
    moments = Moments(weights.square().sum(-1), weights.amax(-1), weights.square() @ value.square())
    return Reference("definition", lse, weights @ value, moments)


def tolerance(small: Small) -> float:
    """Epsilon times the largest sum of absolute products that makes a score; about 1e-5, or 1e-14 of float32 inputs."""
    inputs = small.inputs
    absolute = Inputs(inputs.query.abs(), inputs.key.abs(), inputs.value, inputs.key_of_content)
    size = float(scores(replace(small, inputs=absolute)).abs().max())
    return EPSILONS * torch.finfo(small.problem.oracle_dtype).eps * (4.0 + size)


def assert_agree(mine: Reference, other: Reference, tolerance: float) -> None:
    """lse, and out and moments where both have them; names what differs, and whose."""
    one, two = mine.tensors(), other.tensors()
    for name in one.keys() & two.keys():
        torch.testing.assert_close(
            one[name].double(),
            two[name].double(),
            atol=tolerance,
            # Squares may have been multiplied in bfloat16.
            rtol=0.02 if name == "value_square" else 0.0,
            msg=lambda found, name=name: f"{name} of {mine.oracle} and {other.oracle}: {found}",
        )


@given(smalls())
@settings(max_examples=50, deadline=None)
def test_the_oracles_agree_pairwise_and_with_the_definition(small: Small) -> None:
    references = [by_definition(small), streamed(small), loop(small.problem, small.inputs)]
    for mine, other in itertools.combinations(references, 2):
        assert_agree(mine, other, tolerance(small))


LSE_OF_ONE_QUERY = Problem(1, 1, 1, 1, 5, 4, 4, torch.float32, 0.5, Dense(), "lse")


@given(smalls())
@example(Small(LSE_OF_ONE_QUERY, Inputs.draw(LSE_OF_ONE_QUERY, 0)))
@settings(max_examples=50, deadline=None)
def test_fias_agrees_where_it_takes_the_problem(small: Small) -> None:
    problem = replace(small.problem, ask="lse")
    assume(fias_takes(problem))
    assert_agree(fias(problem, small.inputs), by_definition(small), tolerance(small))


@pytest.mark.parametrize("align", ["bottom-right", "top-left"])
@pytest.mark.parametrize("batch", [1, 2])
def test_fias_agrees_for_one_causal_query(align: str, batch: int) -> None:
    problem = replace(LSE_OF_ONE_QUERY, batch=batch, mask=Causal(align))
    small = Small(problem, Inputs.draw(problem, 0))
    assert_agree(fias(problem, small.inputs), by_definition(small), tolerance(small))


@given(smalls(zero=True))
@settings(max_examples=40, deadline=None)
def test_the_closed_form_of_zero_queries_agrees(small: Small) -> None:
    closed = zero_query(small.problem, small.inputs)
    for other in (by_definition(small), streamed(small), loop(small.problem, small.inputs)):
        assert_agree(closed, other, tolerance(small))


def test_the_closed_form_refuses_queries_that_are_not_zero() -> None:
    with pytest.raises(ValueError, match="queries are not zero"):
        zero_query(LSE_OF_ONE_QUERY, Inputs.draw(LSE_OF_ONE_QUERY, 0))


@given(smalls())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_row_without_keys_is_zero_with_lse_minus_infinity(small: Small) -> None:
    empty = ~tokens(small.problem).any(dim=-1)
    assume(bool(empty.any()))
    for found in (streamed(small), loop(small.problem, small.inputs)):
        assert torch.equal(found.empty_rows, empty)
        assert found.out is not None
        assert not found.out[empty].any()


@given(smalls())
@settings(max_examples=30, deadline=None)
def test_the_lse_alone_is_the_lse_of_both(small: Small) -> None:
    alone = streamed(replace(small, problem=replace(small.problem, ask="lse")))
    assert alone.out is None
    torch.testing.assert_close(alone.lse, streamed(small).lse, atol=tolerance(small), rtol=0.0)


@given(smalls())
@settings(max_examples=30, deadline=None)
def test_moments_of_the_lse_alone_are_upper_bounds(small: Small) -> None:
    bounds = streamed(replace(small, problem=replace(small.problem, ask="lse"))).moments
    exact = by_definition(small).moments
    assert bounds is not None
    assert exact is not None
    slack = 1.0 + 2 * tolerance(small)
    assert bool((bounds.weight_square * slack >= exact.weight_square).all())
    assert bool((bounds.peak * slack >= exact.peak).all())


@pytest.mark.parametrize("oracle", [stream, loop])
def test_references_are_one_precision_above_their_inputs(oracle: Callable[[Problem, Inputs], Reference]) -> None:
    for given_as, above in zip(DTYPES, [torch.float32, torch.float32, torch.float64], strict=True):
        problem = replace(LSE_OF_ONE_QUERY, ask="both", dtype=given_as)
        found = oracle(problem, Inputs.draw(problem, 0))
        assert found.out is not None
        assert (found.lse.dtype, found.out.dtype) == (above, above)
