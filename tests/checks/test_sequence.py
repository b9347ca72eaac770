"""Calls in a row: whatever a kernel keeps from an earlier one and should not have kept is named by the call."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace

import pytest
from planted import BLOCKWISE, cell_of, claiming, named, record_of, verdict_on
from torch import Tensor

from pytest_attn.checks.sequence import calls_of
from pytest_attn.kernels.kernel import Output
from pytest_attn.kernels.resolve import BUILT_IN
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, Packed, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.registry import variants as registered
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.selfcheck.mutants.state import (
    BiasOfFirstCall,
    CapOfFirstCall,
    KeepingVariants,
    LengthsOfFirstCall,
    PackedEndsOfFirstCall,
    PageTableOfFirstCall,
    SinksOfFirstCall,
    SlopesOfFirstCall,
    WindowOfFirstCall,
)
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop
from pytest_attn.selfcheck.mutants.variant_loop import VariantLoop

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


VARIED: list[tuple[type[KeepingVariants], Case, str]] = [
    (WindowOfFirstCall, replace(CASE, variants=(WindowSize(20, 8),)), "win10x4 after win20x8"),
    (CapOfFirstCall, replace(CASE, variants=(Softcap(2.0),)), "softcap1 after softcap2"),
    (SlopesOfFirstCall, replace(CASE, variants=(Alibi(),)), "other data in the same memory"),
    (SinksOfFirstCall, replace(CASE, variants=(Sinks(),)), "other data in the same memory"),
    (BiasOfFirstCall, replace(CASE, variants=(Bias(),)), "other data in the same memory"),
    (PageTableOfFirstCall, replace(CASE, batch=3, variants=(Paged(16),)), "other data in the same memory"),
    (LengthsOfFirstCall, replace(CASE, batch=3, variants=(KeyLengths(),)), "raggedturned after ragged"),
    (LengthsOfFirstCall, replace(CASE, batch=3, variants=(Paged(16),)), "paged16turned after paged16"),
    (PackedEndsOfFirstCall, replace(CASE, batch=3, variants=(Packed(),)), "packedturned after packed"),
]


@pytest.mark.parametrize(("kernel", "case", "call"), VARIED, ids=[f"{k.__name__}-{c.id}" for k, c, _ in VARIED])
def test_what_a_kernel_keeps_of_a_variant_is_red_with_the_call_that_shows_it(
    kernel: type[KeepingVariants], case: Case, call: str
) -> None:
    verdict = verdict_on(kernel(), case, variants=VariantLoop.capabilities.variants)
    assert f"({call}): " in verdict.summary


class KeepsByQuery(VariantLoop):
    """Keeps slopes, sinks, bias and pages for as long as the query is the same."""

    def __init__(self) -> None:
        self.kept: dict[Hashable, Mapping[str, Tensor]] = {}

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        extras = {name: tensor.clone() for name, tensor in inputs.extras.items()}
        return super().run(problem, replace(inputs, extras=self.kept.setdefault(float(inputs.query.sum()), extras)))


@pytest.mark.parametrize("variant", [Alibi(), Bias(), Sinks()], ids=lambda variant: variant.token)
def test_what_a_variant_draws_is_drawn_anew_beside_the_same_query(variant: Variant) -> None:
    case = replace(CASE, variants=(variant,))
    summary = verdict_on(KeepsByQuery(), case, variants=VariantLoop.capabilities.variants).summary
    assert f"(other {variant.capability}): " in summary


@pytest.mark.parametrize("case", dict.fromkeys(case for _, case, _ in VARIED), ids=named)
def test_a_correct_kernel_is_right_where_a_variant_changes(case: Case) -> None:
    record = record_of("eager", case)
    assert record.outcome == "passed", record.reason


def test_every_built_in_variant_changes_in_a_sequence() -> None:
    own = [each for each in registered().values() if "pytest_attn" in each.__module__]
    assert [each.capability for each in own if each.redrawn is Variant.redrawn] == []


def test_every_tensor_keeps_its_shape_where_a_variant_changes() -> None:
    for case in (case for _, case, _ in VARIED):
        subject = cell_of(VariantLoop(), case, variants=VariantLoop.capabilities.variants).subject
        before = {name: each.shape for name, each in subject.inputs.stored().named().items()}
        for call in list(calls_of(subject))[3:-2]:
            assert {name: each.shape for name, each in call.inputs.stored().named().items()} == before


def test_a_batch_of_one_changes_its_length_in_memory_of_its_own() -> None:
    case = replace(CASE, variants=(Packed(),))
    assert record_of("eager", case).outcome == "passed"


def test_a_variant_that_offers_no_other_values_is_not_changed() -> None:
    class Fixed(Sinks):
        def redrawn(self) -> None:  # type: ignore[override]
            return Variant.redrawn(self)  # type: ignore[return-value,func-returns-value]

    subject = cell_of(VariantLoop(), replace(CASE, variants=(Sinks(),))).subject
    fixed = replace(subject, problem=replace(subject.problem, variants=(Fixed(),)))
    words = [call.words for call in calls_of(fixed)]
    assert not any("sinks" in each for each in words)
