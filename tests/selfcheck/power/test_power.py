"""What the judges see on a case."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.oracles.slabs import slabs
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.power.clean import Clean
from pytest_attn.selfcheck.power.defects import attended, spread
from pytest_attn.selfcheck.power.judges import JUDGES, Judges
from pytest_attn.selfcheck.power.merge import drop, leak
from pytest_attn.selfcheck.power.power import power_of


def seen_by(case: Case, keys: int) -> dict[str, bool]:
    """Which judges see that every row drops so many keys; all of them must call the clean result right."""
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=42)
    clean = Clean(problem).unrounded(problem, inputs)
    judges = Judges.of(problem, inputs, Clean(problem).kernel)
    assert not any(judges.sees(name, judges.store(clean)) for name in JUDGES)
    dropped = drop(problem, inputs, clean, spread(attended(problem), keys), slabs(problem))
    return {name: judges.sees(name, judges.store(dropped)) for name in JUDGES}


def test_one_dropped_key_of_24000_is_seen_by_the_derived_budget_and_not_by_the_published_tolerance() -> None:
    seen = seen_by(Case(64, 24000), 1)
    assert seen["derived"]
    assert not seen["bsa"]
    assert not seen["allclose-1e-2"]


def test_one_dropped_key_of_24000_is_seen_by_its_lse_alone() -> None:
    seen = seen_by(Case(64, 24000, ask="lse"), 1)
    assert [name for name in JUDGES if seen[name]] == ["derived"]


SMALL = power_of(Case(60, 300, head_dim=32))


def test_every_judge_stands_in_every_row() -> None:
    assert SMALL.judges == JUDGES
    assert len(SMALL.rows) == 8
    assert all(set(row.least) == set(JUDGES) for row in SMALL.rows)
    assert SMALL.red == {}


def test_what_says_nothing_of_the_lse_never_sees_it_shifted() -> None:
    (shifted,) = (row for row in SMALL.rows if row.defect == "lse shifted by")
    assert [name for name in JUDGES if shifted.least[name] is None] == ["flash-attention", "pytorch-fudge"]


def test_the_least_amount_is_seen_and_one_less_is_not() -> None:
    (leaked,) = (row for row in SMALL.rows if row.defect == "zero pad keys attended")
    least = leaked.least["allclose-1e-2"]
    assert least is not None
    assert least > 1
    problem = Problem.of(Case(60, 300, head_dim=32))
    inputs = Inputs.draw(problem, seed=42)
    clean = Clean(problem).unrounded(problem, inputs)
    judges = Judges.of(problem, inputs, Clean(problem).kernel)
    assert judges.sees("allclose-1e-2", judges.store(leak(clean, least)))
    assert not judges.sees("allclose-1e-2", judges.store(leak(clean, least - 1)))


def test_a_judge_that_calls_the_clean_kernel_wrong_is_not_measured() -> None:
    """The published tolerance allows too little where a row has few keys and its output is large."""
    power = power_of(Case(80, 80, causal="bottom-right", ask="out"))
    assert set(power.red) == {"bsa"}
    assert power.red["bsa"].startswith("out: error ")
    assert all("bsa" not in row.least for row in power.rows)


def test_the_seed_and_the_recipe_choose_the_inputs() -> None:
    one, other = (power_of(Case(20, 40, head_dim=16), seed=seed) for seed in (1, 2))
    assert (one.seed, other.seed) == (1, 2)
    assert [row.least for row in one.rows] != [row.least for row in other.rows]
    ones = power_of(Case(20, 300, head_dim=16, recipe="ones"))
    (replaced,) = (row for row in ones.rows if row.defect == "one row of the output is its neighbour")
    assert set(replaced.least.values()) == {None}


def test_a_pad_that_leaks_into_a_row_without_keys_is_seen_by_all() -> None:
    power = power_of(Case(90, 40, head_dim=32, causal="bottom-right", dtype="float16"))
    (leaked,) = (row for row in power.rows if row.defect == "zero pad keys attended")
    assert set(leaked.least.values()) == {1}


def test_measuring_leaves_the_inputs_as_they_are() -> None:
    problem = Problem.of(Case(20, 40, head_dim=16))
    inputs = Inputs.draw(problem, seed=42)
    before = inputs.clone()
    clean = Clean(problem).unrounded(problem, inputs)
    out = clean.out.clone()
    drop(problem, inputs, clean, torch.tensor([3]), slabs(problem))
    assert inputs.equal(before)
    assert torch.equal(clean.out, out)


def test_a_block_mask_beside_another_is_refused() -> None:
    with pytest.raises(ValueError, match="the clean kernel does not know a block mask beside another"):
        power_of(Case.parse("b1-h1-s64-d16-bfloat16-causal-sp30pct-bs16x16-both-exact"))
