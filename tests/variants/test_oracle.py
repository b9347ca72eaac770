"""The oracle of variants against their definition, and the moments that the budget takes from it."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from definition import by_definition
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_attn.oracles.cache import ReferenceCache
from pytest_attn.oracles.exact import exact
from pytest_attn.oracles.streaming import stream
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, Packed, Paged, Sinks, Softcap, WindowSize
from tests.oracles.tiles import tiles

EPSILONS = 16
"""What rounding may do to a result of unit size, in epsilons of the oracle's precision; seen: 6."""

TILES = [(512, 1024), (8, 16), (3, 7)]
TOGETHER = [2**17, 1, 200]


@st.composite
def varied(draw: st.DrawFn) -> Case:
    """A small case with any of the variants, under any mask that they combine with."""
    side = st.one_of(st.none(), st.integers(0, 12))
    left, right = draw(side), draw(side)
    chosen = [
        WindowSize(left, right if left is not None or right is not None else 3),
        draw(st.sampled_from([KeyLengths(), Packed(), Paged(draw(st.integers(1, 5)))])),
        Softcap(draw(st.sampled_from([0.5, 3.0, 30.0]))),
        Alibi(),
        Bias(draw(st.booleans()), draw(st.booleans())),
        Sinks(),
    ]
    kept = tuple(variant for variant in chosen if draw(st.booleans()))
    key_heads = draw(st.integers(1, 2))
    aligned = [None, "bottom-right"] if chosen[0] in kept else [None, "bottom-right", "top-left"]
    fields: dict[str, Any] = {"causal": draw(st.sampled_from(aligned))}
    if Packed() in kept:
        kept = tuple(variant for variant in kept if not isinstance(variant, Bias))
    elif draw(st.booleans()):
        fields |= {"sparsity": 0.4, "block_shape": (draw(st.integers(2, 6)), draw(st.integers(1, 5)))}
    case = Case(
        draw(st.integers(1, 20)),
        draw(st.integers(1, 20)),
        head_dim=4,
        value_dim=3,
        batch=draw(st.integers(1, 4)),
        query_heads=key_heads * draw(st.integers(1, 2)),
        key_heads=key_heads,
        dtype=draw(st.sampled_from(["bfloat16", "float32"])),
        variants=kept,
        **fields,
    )
    assume(not case.unsatisfiable)
    return case


@given(varied(), st.sampled_from(TILES), st.sampled_from(TOGETHER), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_oracle_is_the_definition(case: Case, tile: tuple[int, int], together: int, seed: int) -> None:
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed)
    with tiles(*tile, together):
        found = stream(problem, inputs)
    truth = by_definition(case, inputs)
    assert found.out is not None
    tolerance = EPSILONS * torch.finfo(problem.oracle_dtype).eps
    torch.testing.assert_close(found.out.double(), truth.out, atol=tolerance, rtol=0.0)
    torch.testing.assert_close(found.lse.double(), truth.lse, atol=tolerance, rtol=0.0)


EVERYTHING = Case(
    9,
    14,
    head_dim=8,
    batch=2,
    query_heads=2,
    dtype="float32",
    causal="bottom-right",
    variants=(WindowSize(6, 0), KeyLengths(), Softcap(2.0), Alibi(), Bias(True, True), Sinks()),
)


def test_the_moments_are_those_of_the_keys_and_the_change_of_their_logits() -> None:
    problem = Problem.of(EVERYTHING)
    inputs = Inputs.draw(problem, 3)
    found = stream(problem, inputs).moments
    assert found is not None
    assert found.change_square is not None
    key = inputs.key.double()
    # A value of 1 at one key makes the output its weight.
    weights = torch.stack([_weights_of_key(j, inputs) for j in range(14)], dim=3)
    plain = inputs.query.double() @ key.mT * problem.scale
    logits = (weights.log() + by_definition(EVERYTHING, inputs).lse.unsqueeze(3)).nan_to_num(0.0)
    change = torch.where(weights > 0, logits - plain, 0.0)
    torch.testing.assert_close(found.weight_square, weights.square().sum(3), atol=1e-10, rtol=1e-6)
    torch.testing.assert_close(found.peak, weights.amax(3), atol=1e-10, rtol=1e-6)
    torch.testing.assert_close(found.change_square, (weights * change).square().sum(3), atol=1e-10, rtol=1e-6)


def test_what_an_error_of_a_capped_logit_moves_is_measured_where_the_cap_is_flat() -> None:
    problem = Problem.of(Case(9, 14, head_dim=8, dtype="float32", scale=2.0, variants=(Softcap(1.5), Alibi())))
    inputs = Inputs.draw(problem, 3)
    found = stream(problem, inputs).moments
    assert found is not None
    assert found.moved_square is not None
    plain = inputs.query.double() @ inputs.key.double().mT * problem.scale
    distance = (torch.arange(14) - torch.arange(9).unsqueeze(1) - 5).abs()
    logits = 1.5 * (plain / 1.5).tanh() - inputs.extras["alibi_slopes"].view(-1, 1, 1) * distance
    moved = plain * (1 - (plain / 1.5).tanh().square())
    expected = (logits.softmax(dim=3) * moved).square().sum(dim=3)
    torch.testing.assert_close(found.moved_square, expected, atol=1e-6, rtol=0.05)


def test_logits_far_below_their_cap_are_not_looked_at() -> None:
    problem = Problem.of(Case(65, 129, head_dim=64, dtype="float32", variants=(Softcap(30.0),)))
    found = stream(problem, Inputs.draw(problem, 3)).moments
    assert found is not None
    assert found.moved_square is None


def _weights_of_key(j: int, inputs: Inputs) -> torch.Tensor:
    value = torch.zeros_like(inputs.value)
    value[:, :, j] = 1.0
    marked = Inputs(inputs.query, inputs.key, value, "marked", extras=inputs.extras)
    return by_definition(EVERYTHING, marked).out[..., 0]


def test_a_row_without_keys_has_its_sink_alone() -> None:
    case = Case(5, 3, head_dim=4, dtype="float32", causal="bottom-right", variants=(Sinks(),))
    inputs = Inputs.draw(Problem.of(case), 1)
    found = stream(Problem.of(case), inputs)
    assert found.out is not None
    assert not found.out[:, :, :2].any()
    torch.testing.assert_close(found.lse[0, 0, :2], inputs.extras["sinks"].double().expand(2), atol=1e-12, rtol=0.0)


def test_a_reference_is_not_taken_for_that_of_another_variant() -> None:
    cache = ReferenceCache()
    several = [(), (Softcap(1.0),), (Softcap(2.0),), (Alibi(),), (Sinks(),), (Softcap(1.0), Sinks())]
    found = []
    for variants in several:
        problem = Problem.of(Case(9, 14, head_dim=8, dtype="float32", variants=variants))
        found.append(exact(problem, Inputs.draw(problem, 1), cache).lse)
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(found, 2))
