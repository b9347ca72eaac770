"""The way from a failing case to the smallest one, with made-up reasons to fail."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_attn.execution.shrink import neighbours, shrink
from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import FrameWidths
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.problem.vocabulary import DTYPES

Predicate = Callable[[Case], bool]

SIZES = ("batch", "query_heads", "key_heads", "query_length", "key_length", "head_dim", "value_dim")
WORDS = ("scale", "causal", "sparsity", "block_shape", "frame", "recipe", "layout")
PLAIN = Case(1, 1)

LARGE = Case(
    1024,
    2048,
    head_dim=128,
    value_dim=64,
    batch=3,
    query_heads=12,
    key_heads=4,
    scale=0.3,
    sparsity=0.4,
    block_shape=(128, 256),
    frame=FrameWidths(1, 0, 0, 1),
    recipe="growing",
    layout="strided",
)


def smallest(case: Case, fails: Predicate) -> Case:
    assert fails(case)
    return shrink(case, fails, math.inf)


class Trials(list[Case]):
    """A predicate that keeps the cases it was asked about."""

    def __init__(self, fails: Predicate) -> None:
        super().__init__()
        self._fails = fails

    def __call__(self, case: Case) -> bool:
        self.append(case)
        return self._fails(case)


def test_what_always_fails_shrinks_to_one_pair_of_tokens() -> None:
    assert smallest(LARGE, lambda case: True).id == "b1-h1-s1-d1-bfloat16-out-exact"


def test_what_fails_nowhere_else_stays_itself() -> None:
    assert smallest(LARGE, lambda case: case == LARGE) is LARGE


@pytest.mark.parametrize("threshold", [1, 63, 64, 100, 127, 128, 129, 700, 777, 1023, 5000])
def test_a_number_of_keys_is_found_to_the_last_one(threshold: int) -> None:
    found = smallest(Case(6000, 6000), lambda case: case.key_length > threshold)
    assert (found.query_length, found.key_length) == (1, threshold + 1)


def test_lengths_that_must_be_equal_shrink_together() -> None:
    found = smallest(Case(1000, 1000), lambda case: case.query_length == case.key_length > 100)
    assert (found.query_length, found.key_length) == (101, 101)


def test_a_tail_is_found_beside_its_tile() -> None:
    found = smallest(Case(1000, 1000), lambda case: case.key_length > 64 and case.key_length % 64 != 0)
    assert found.key_length == 65


def test_a_group_is_kept_where_it_matters() -> None:
    found = smallest(LARGE, lambda case: case.query_heads > case.key_heads)
    assert (found.query_heads, found.key_heads) == (2, 1)


def test_key_heads_are_kept_where_they_matter() -> None:
    found = smallest(LARGE, lambda case: case.key_heads > 1)
    assert (found.query_heads, found.key_heads) == (2, 2)


def test_the_batch_is_kept_where_it_matters() -> None:
    assert smallest(LARGE, lambda case: case.batch > 1).batch == 2


@pytest.mark.parametrize(("least", "found"), [(40, 40), (65, 72), (128, 128)])
def test_head_dims_that_kernels_are_written_for_come_first(least: int, found: int) -> None:
    claimed = (16, 40, 64, 72, 128)
    case = smallest(
        Case(64, 64, head_dim=128),
        lambda case: case.head_dim == case.value_dim and case.head_dim in claimed and case.head_dim >= least,
    )
    assert case.head_dim == found


def test_a_head_dim_of_its_own_is_kept_where_it_matters() -> None:
    found = smallest(LARGE, lambda case: case.head_dim != case.value_dim)
    assert sorted((found.head_dim, found.value_dim)) == [1, 2]


def test_a_value_dim_of_its_own_is_not_brought_in() -> None:
    found = smallest(Case(64, 64, head_dim=128), lambda case: case.head_dim >= 64)
    assert (found.head_dim, found.value_dim) == (64, 64)


@pytest.mark.parametrize("word", ["scale", "frame", "recipe", "layout", "sparsity"])
def test_a_word_is_kept_where_it_matters(word: str) -> None:
    found = smallest(LARGE, lambda case: getattr(case, word) == getattr(LARGE, word))
    kept = {name for name in WORDS if getattr(found, name) != getattr(PLAIN, name)}
    needed = {"frame": {"frame", "sparsity", "block_shape"}, "sparsity": {"sparsity", "block_shape"}}
    assert kept == needed.get(word, {word})


def test_blocks_shrink_with_their_lengths() -> None:
    case = Case(4096, 4096, sparsity=0.5, block_shape=(512, 1024))
    found = smallest(
        case, lambda case: case.sparsity is not None and case.pattern is not None and case.pattern.cols > 3
    )
    assert found.block_shape == (16, 16)
    assert found.key_length == 3 * 16 + 1


def test_block_shapes_that_a_kernel_does_not_claim_are_stepped_over() -> None:
    case = Case(4096, 4096, sparsity=0.5, block_shape=(512, 1024))
    found = smallest(case, lambda case: case.block_shape in {(512, 1024), (128, 1024), (128, 128)})
    assert found.block_shape == (128, 128)


def test_the_block_shape_of_a_dense_case_is_a_word_too_many() -> None:
    assert smallest(Case(64, 64, block_shape=(128, 128)), lambda case: True).block_shape is None


@pytest.mark.parametrize("alignment", ["bottom-right", "top-left"])
def test_causal_is_kept_where_it_matters(alignment: str) -> None:
    case = Case(64, 64, causal=alignment)  # type: ignore[arg-type]
    assert smallest(case, lambda case: case.causal is not None).causal == "bottom-right"
    assert smallest(case, lambda case: case.causal == alignment).causal == alignment


@pytest.mark.parametrize("ask", ["out", "lse"])
def test_one_result_is_asked_for_where_it_fails_alone(ask: str) -> None:
    assert smallest(Case(64, 64), lambda case: case.ask in (ask, "both")).ask == ask


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("oracle", ["exact", "fias", "loop", "again", "permutedkeys"])
def test_dtype_and_oracle_stay(dtype: str, oracle: str) -> None:
    case = Case(64, 64, recipe="zeros", dtype=dtype, oracle=oracle)  # type: ignore[arg-type]
    found = smallest(case, lambda case: True)
    assert (found.dtype, found.oracle) == (dtype, oracle)


def test_an_oracle_that_does_not_apply_any_more_gives_way() -> None:
    case = Case(64, 64, recipe="zeros", oracle="analytic")
    assert smallest(case, lambda case: True).oracle == "exact"
    assert smallest(case, lambda case: case.recipe == "zeros").oracle == "analytic"


def test_the_largest_reductions_are_tried_first() -> None:
    lengths = [case.key_length for case in neighbours(Case(700, 700)) if case.query_length == case.key_length]
    assert lengths[:6] == [1, 2, 15, 16, 17, 31]
    assert lengths.index(257) < lengths.index(350) < lengths.index(525) < lengths.index(699)


def test_an_unsatisfiable_neighbour_does_not_exist() -> None:
    case = Case(512, 512, sparsity=0.9, block_shape=(128, 128))
    trials = Trials(lambda other: False)
    shrink(case, trials, math.inf)
    assert trials
    assert not [other.id for other in trials if other.unsatisfiable]


def test_no_trial_starts_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count()
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    trials = Trials(lambda case: True)
    found = shrink(LARGE, trials, 3)
    # The clock is read once at the start and once before every trial: at 1 and 2 there is time, at 3 there is none.
    assert len(trials) == 2
    assert found == trials[-1]


def test_without_time_the_case_stays_itself() -> None:
    assert shrink(LARGE, lambda case: True, 0) is LARGE


def test_no_case_is_tried_twice() -> None:
    trials = Trials(lambda case: case.key_length > 100)
    shrink(LARGE, trials, math.inf)
    assert len(trials) == len(set(trials))


def test_the_trials_are_few_where_one_size_matters() -> None:
    trials = Trials(lambda case: case.key_length > 12345)
    found = shrink(Case(24000, 24000), trials, math.inf)
    assert found.key_length == 12346
    assert len(trials) < 1000


CELLS = [
    case for name in ("smoke", "boundary", "bsa-lse") for case in list(find_sweep(name))[::37] if not case.unsatisfiable
]


@st.composite
def reasons(draw: st.DrawFn) -> tuple[Case, Predicate]:
    """A cell of a sweep, and a predicate that holds for it: it asks for some sizes, words and remainders."""
    case = draw(st.sampled_from(CELLS))
    least = {name: draw(st.integers(1, getattr(case, name))) for name in draw(st.sets(st.sampled_from(SIZES)))}
    kept = draw(st.sets(st.sampled_from((*WORDS, "ask"))))
    modulus = draw(st.sampled_from([1, 2, 3, 16, 64]))

    def fails(other: Case) -> bool:
        return (
            all(getattr(other, name) >= size for name, size in least.items())
            and all(getattr(other, name) == getattr(case, name) for name in kept)
            and other.key_length % modulus == case.key_length % modulus
        )

    return case, fails


@given(reasons())
@settings(max_examples=60, deadline=None)
def test_what_is_found_still_fails(reason: tuple[Case, Predicate]) -> None:
    case, fails = reason
    assert fails(shrink(case, fails, math.inf))


@given(reasons())
@settings(max_examples=60, deadline=None)
def test_what_is_found_is_never_larger(reason: tuple[Case, Predicate]) -> None:
    case, fails = reason
    found = shrink(case, fails, math.inf)
    assert all(getattr(found, name) <= getattr(case, name) for name in SIZES)
    assert all(
        getattr(found, name) in (getattr(PLAIN, name), getattr(case, name)) for name in ("scale", "recipe", "frame")
    )
    assert flops(found) <= flops(case) or any(
        getattr(found, name) != getattr(case, name) for name in (*WORDS, "variants")
    )


@given(reasons())
@settings(max_examples=30, deadline=None)
def test_what_is_found_shrinks_no_further_and_is_found_again(reason: tuple[Case, Predicate]) -> None:
    case, fails = reason
    found = shrink(case, fails, math.inf)
    assert shrink(found, fails, math.inf) == found
    assert shrink(case, fails, math.inf) == found


@given(st.sampled_from(CELLS), st.data())
@settings(max_examples=60, deadline=None)
def test_every_neighbour_is_smaller_in_one_thing_and_larger_in_none(case: Case, data: st.DataObject) -> None:
    found = [*neighbours(case)]
    assume(found)
    other = data.draw(st.sampled_from(found))
    blocks = [(other.block_shape or (1, 1))[side] <= (case.block_shape or (1, 1))[side] for side in (0, 1)]
    assert all(blocks)
    assert all(getattr(other, name) <= getattr(case, name) for name in SIZES)
    assert other != case
    assert (other.dtype, other.oracle in (case.oracle, "exact")) == (case.dtype, True)
