"""Which defects a problem can have, and where they are put."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.power.clean import Clean
from pytest_attn.selfcheck.power.defects import Correct, Defect, LeftOut, attended, defects, spread


def correct(case: Case) -> Correct:
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, 42, case.recipe)
    return Correct(problem, inputs, Clean(problem).unrounded(problem, inputs), flops(case))


def found(case: Case) -> dict[str, Defect]:
    return {defect.name: defect for defect in defects(correct(case)) if isinstance(defect, Defect)}


def left_out(case: Case) -> dict[str, str]:
    return {defect.name: defect.why for defect in defects(correct(case)) if isinstance(defect, LeftOut)}


@pytest.mark.parametrize("count", [1, 2, 3, 50, 100])
def test_keys_are_spread_over_all_and_never_the_first_nor_two_neighbours(count: int) -> None:
    keys = spread(torch.arange(200), count)
    assert len(keys.unique()) == count
    assert int(keys[0]) >= 1
    assert count == 1 or int(keys.diff().min()) >= 2
    assert abs(float(keys.double().mean()) - 100) <= 1


def test_keys_that_no_row_attends_to_are_not_dropped() -> None:
    assert attended(Problem.of(Case(40, 90, causal="top-left"))).tolist() == [*range(40)]
    assert len(attended(Problem.of(Case(40, 90, causal="bottom-right")))) == 90


def test_a_case_has_the_defects_of_what_it_asks_for() -> None:
    every, out, lse = (set(found(Case(20, 300, head_dim=16, ask=ask))) for ask in ("both", "out", "lse"))
    assert every - out == {"lse shifted by"}
    assert every - lse == {"output times 1 + x", "one row of the output is its neighbour"}
    assert len(every) == 8


@pytest.mark.parametrize(
    ("case", "name", "why"),
    [
        (Case(20, 1, head_dim=16), "keys dropped from every row", "there is one key"),
        (Case(20, 255, head_dim=16), "one block of 128 keys dropped", "fewer than 256 keys are attended"),
        (Case(1, 20, head_dim=16), "one row of the output is its neighbour", "there is one row with keys"),
        (
            Case(128, 128, head_dim=16, sparsity=0.75, block_shape=(32, 32)),
            "one kept block of 32x32 dropped",
            "no query block keeps a second one",
        ),
    ],
)
def test_a_defect_that_a_problem_cannot_have_is_left_out_with_the_reason(case: Case, name: str, why: str) -> None:
    assert left_out(case)[name] == why


def test_a_defect_that_needs_many_long_runs_is_left_out_with_its_cost() -> None:
    small = correct(Case(20, 300, head_dim=16))
    costly = Correct(small.problem, small.inputs, small.clean, 295_000_000_000)
    names = {defect.name: defect.why for defect in defects(costly) if isinstance(defect, LeftOut)}
    assert names == {"softmax scale times 1 + x": "295 GFLOP for each amount, at most 10 are spent"}


def test_a_dropped_kept_block_touches_one_query_block_of_one_head() -> None:
    case = Case(128, 128, head_dim=16, query_heads=2, sparsity=0.5, block_shape=(32, 32), dtype="float32")
    clean = correct(case).clean
    dropped = found(case)["one kept block of 32x32 dropped"].inject(1)
    changed = (dropped.lse != clean.lse).nonzero()
    assert len(changed) == 32
    assert len((changed // torch.tensor([1, 1, 32])).unique(dim=0)) == 1


def test_a_dropped_key_block_is_attended_by_some_row() -> None:
    case = Case(300, 900, head_dim=16, causal="top-left", dtype="float32")
    dropped = found(case)["one block of 128 keys dropped"].inject(1)
    changed = (dropped.lse != correct(case).clean.lse)[0, 0]
    assert changed.nonzero().flatten().tolist() == [*range(128, 300)]


def test_a_row_is_replaced_by_its_neighbour() -> None:
    case = Case(9, 20, head_dim=16, dtype="float32")
    clean = correct(case).clean
    out = found(case)["one row of the output is its neighbour"].inject(1).out
    assert (out != clean.out).any(dim=3).nonzero().tolist() == [[0, 0, 4]]
    assert torch.equal(out[0, 0, 4], clean.out[0, 0, 3])


def test_keys_dropped_from_one_row_are_keys_that_it_attends_to() -> None:
    case = Case(300, 300, head_dim=16, causal="bottom-right", dtype="float32")
    defect = found(case)["keys dropped from one row"]
    changed = defect.inject(1).lse != correct(case).clean.lse
    assert changed.nonzero().tolist() == [[0, 0, 150]]
    assert defect.amounts.most == 151 // 2
