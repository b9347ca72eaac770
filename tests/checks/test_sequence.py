"""Calls in a row: whatever a kernel keeps from an earlier one and should not have kept is named by the call."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

import pytest
from planted import BLOCKWISE, cell_of, claiming, named, record_of, verdict_on

from pytest_attn.checks.sequence import calls_of
from pytest_attn.kernels.kernel import Output
from pytest_attn.kernels.resolve import BUILT_IN
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop

CASE = Case(70, 90, head_dim=16, query_heads=2, dtype="float32", oracle="sequence")
SPARSE = replace(CASE, block_shape=(32, 32), sparsity=0.5)

Remembered = Callable[[Problem, Inputs], Hashable]


class CachesResults(TileLoop):
    """Returns the result of an earlier call with the same key."""

    def __init__(self, key: Remembered) -> None:
        self.key = key
        self.results: dict[Hashable, Output] = {}

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        key = self.key(problem, inputs)
        if key not in self.results:
            self.results[key] = super().run(problem, inputs)
        return self.results[key].clone()


class CachesPlans(TileLoop):
    """Computes with the problem of an earlier call with the same key (a plan, or a captured graph)."""

    def __init__(self, key: Remembered) -> None:
        self.key = key
        self.plans: dict[Hashable, Problem] = {}

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        return super().run(self.plans.setdefault(self.key(problem, inputs), problem), inputs)


class CachesStrides(TileLoop):
    """Reads the keys with the strides of the first call of a shape."""

    def __init__(self) -> None:
        self.strides: dict[Hashable, tuple[int, ...]] = {}

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        stride = self.strides.setdefault(tuple(inputs.key.shape), inputs.key.stride())
        key = inputs.key.as_strided(inputs.key.shape, stride)
        return super().run(problem, replace(inputs, key=key))


def shape(problem: Problem, inputs: Inputs) -> Hashable:
    return tuple(inputs.query.shape), tuple(inputs.key.shape)


def address(problem: Problem, inputs: Inputs) -> Hashable:
    return inputs.query.data_ptr(), problem


def content_but_not_scale(problem: Problem, inputs: Inputs) -> Hashable:
    return replace(problem, scale=1.0), inputs.key_of_content


def shape_and_mask(problem: Problem, inputs: Inputs) -> Hashable:
    return shape(problem, inputs), problem.mask.key


def shape_and_scale(problem: Problem, inputs: Inputs) -> Hashable:
    return shape(problem, inputs), problem.scale


def shape_scale_and_kind_of_mask(problem: Problem, inputs: Inputs) -> Hashable:
    return shape(problem, inputs), problem.scale, type(problem.mask)


def head_dim_and_scale(problem: Problem, inputs: Inputs) -> Hashable:
    return problem.head_dim, problem.scale, problem.mask.key


CLAIMED = {CASE: tuple(name for name in BUILT_IN if name != "mqa"), SPARSE: BLOCKWISE}


@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case, names in CLAIMED.items() for name in names], ids=named
)
def test_a_built_in_kernel_is_right_in_a_sequence(name: str, case: Case) -> None:
    record = record_of(name, case)
    assert record.outcome == "passed", record.reason


@pytest.mark.parametrize("case", CLAIMED, ids=named)
def test_no_other_built_in_kernel_claims_the_sequence(case: Case) -> None:
    assert claiming(case) == CLAIMED[case]


@pytest.mark.parametrize(
    ("kernel", "case", "call"),
    [
        (CachesResults(shape), CASE, "call 2 of 8 (other data in the same memory)"),
        (CachesResults(address), CASE, "call 2 of 8 (other data in the same memory)"),
        (CachesResults(content_but_not_scale), CASE, "call 3 of 8 (scale 0.125 after 0.25)"),
        (CachesPlans(shape_and_mask), CASE, "call 3 of 8 (scale 0.125 after 0.25)"),
        (CachesPlans(shape_and_scale), CASE, "call 4 of 8 (causal after dense)"),
        (CachesPlans(shape_scale_and_kind_of_mask), SPARSE, "call 4 of 7 (other blocks kept)"),
        (CachesStrides(), CASE, "call 6 of 8 (other strides)"),
        (CachesPlans(head_dim_and_scale), CASE, "call 7 of 8 (60 keys after 90)"),
    ],
)
def test_a_stale_cache_is_red_with_the_call_that_shows_it(kernel: TileLoop, case: Case, call: str) -> None:
    assert verdict_on(kernel, case).summary.startswith(call + ": ")


def test_a_kernel_that_is_wrong_after_all_others_is_red() -> None:
    class BreaksAtTheEnd(TileLoop):
        calls = 0

        def run(self, problem: Problem, inputs: Inputs) -> Output:
            result = super().run(problem, inputs)
            self.calls += 1
            result.out.mul_(1.5 if self.calls == 8 else 1.0)
            return result

    assert verdict_on(BreaksAtTheEnd(), CASE).summary.startswith("call 8 of 8 (the case again): out")


def test_a_kernel_is_called_only_with_what_it_claims() -> None:
    subject = cell_of(TileLoop(), CASE).subject
    assert len([call for call in calls_of(subject) if subject.claims(call.problem, call.layout)]) == 8
    claims = {"causal": False, "causal_top_left": False, "strided": False, "any_scale": False, "cross_attention": False}
    square = replace(CASE, key_length=70)
    subject = cell_of(TileLoop(), square, **claims).subject
    claimed = [call.words for call in calls_of(subject) if subject.claims(call.problem, call.layout)]
    assert claimed == ["the case", "other data in the same memory", "the case again"]
