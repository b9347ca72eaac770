"""Which cells kill which mutants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest
from torch import Tensor

from pytest_attn.commands.mutants import DEFAULT_SWEEPS
from pytest_attn.execution.api import judged
from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.backward_loop import BackwardLoop
from pytest_attn.selfcheck.mutants.catalog import find_mutants, mutants
from pytest_attn.selfcheck.mutants.matrix import ANY, Found, Piece, find_kills, first_kills, groups_of, kill_matrix
from pytest_attn.selfcheck.mutants.mutant import Mutant
from pytest_attn.selfcheck.mutants.split_loop import SplitLoop
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop, tile_loop
from pytest_attn.selfcheck.mutants.variant_backward_loop import VariantBackwardLoop
from pytest_attn.selfcheck.mutants.variant_loop import VariantLoop

TAIL = Case(4, 70, head_dim=16, dtype="float32")
WHOLE = Case(4, 128, head_dim=16, dtype="float32")
CAUSAL = Case(70, 70, head_dim=16, causal="bottom-right")
FALSE_ALARM = Case(128, 128, head_dim=64, query_heads=4, causal="bottom-right")
"""A cell on which the published tolerance of the LSE is narrower than float32 arithmetic."""

DEFAULT_TIER = groups_of(DEFAULT_SWEEPS)


def find(mutant: str | Mutant, *cases: Case, tolerance: str = DERIVED) -> Found:
    """What cells find out about one mutant."""
    found = find_mutants([mutant]) if isinstance(mutant, str) else (mutant,)
    return find_kills(Piece(found, cases, {"test": tolerance}))


def killing(found: Found) -> list[str]:
    """The cells that killed."""
    return [kill.case for kill in found.killed.values()]


def counted() -> tuple[Mutant, list[float]]:
    """A mutant that notes how often it is asked for its scale, which is right."""
    calls: list[float] = []

    class Counted(TileLoop):
        def scale(self, problem: Problem) -> float:
            calls.append(problem.scale)
            return super().scale(problem)

    return Mutant(Counted, "scale"), calls


def test_a_cell_that_shows_the_bug_kills() -> None:
    assert killing(find("last-tile-unmasked", TAIL)) == [TAIL.id]


def test_a_cell_that_cannot_show_the_bug_does_not_kill() -> None:
    assert killing(find("last-tile-unmasked", WHOLE)) == []


def test_the_first_cell_that_shows_the_bug_is_named() -> None:
    assert killing(find("last-tile-unmasked", WHOLE, TAIL, CAUSAL)) == [TAIL.id]


def test_a_kill_names_what_was_wrong() -> None:
    (kill,) = find("lse-never-written", TAIL).killed.values()
    assert kill.finding == "finite"


def test_a_cell_on_which_the_clean_loop_fails_counts_for_nobody() -> None:
    found = find("zeros", FALSE_ALARM, tolerance="bsa")
    assert (killing(found), found.unfit) == ([], (("test", FALSE_ALARM.id),))


def test_a_mutant_that_was_killed_is_not_run_again() -> None:
    class Wrong(TileLoop):
        lengths: ClassVar[set[int]] = set()

        def scale(self, problem: Problem) -> float:
            Wrong.lengths.add(problem.key_length)
            return 2 * problem.scale

    assert killing(find(Mutant(Wrong, "scale"), TAIL, WHOLE)) == [TAIL.id]
    assert Wrong.lengths == {TAIL.key_length}


def test_a_mutant_whose_step_the_clean_loop_does_not_take_is_not_run() -> None:
    calls: list[range] = []

    class Wrong(TileLoop):
        def key_block(self, problem: Problem) -> int:
            calls.append(range(0))
            return 1

    find(Mutant(Wrong, "lost keys"), TAIL)
    assert calls == []


def test_a_mutant_whose_step_no_cell_takes_is_not_reached() -> None:
    matrix = first_kills(find_mutants(["delta-missing", "softcap-twice", "zeros"]), {"test": [TAIL]}, workers=1)
    assert [fate.mutant for fate in matrix.unreached] == ["delta-missing", "softcap-twice"]
    assert [fate.mutant for fate in matrix.real] == ["zeros"]


def test_a_mutant_whose_cells_its_loop_does_not_claim_is_not_reached() -> None:
    backward = Case(4, 70, head_dim=16, dtype="float32", ask="grad")
    matrix = first_kills(find_mutants(["zeros"]), {"test": [backward]}, workers=1)
    assert ([fate.mutant for fate in matrix.unreached], matrix.unexpected) == (["zeros"], ())


def test_a_mutant_that_computes_the_same_lives_and_was_run() -> None:
    mutant, calls = counted()
    assert killing(find(mutant, TAIL)) == []
    assert set(calls) == {TAIL.softmax_scale}


def test_every_cell_has_a_fresh_kernel() -> None:
    class Second(TileLoop):
        """Wrong from its second cell on; each is run twice, in poisoned memory, too."""

        def __init__(self) -> None:
            self.calls = 0

        def scores(self, query: Tensor, key: Tensor) -> Tensor:
            self.calls += 1
            return super().scores(query, key) * (1.0 if self.calls <= 4 else 2.0)

    assert killing(find(Mutant(Second, "stale state"), TAIL, TAIL)) == []


def test_an_out_variant_is_compared_with_a_clean_out_variant() -> None:
    assert killing(find("out-written-beyond", TAIL)) == [TAIL.id]


def test_each_tolerance_kills_for_itself() -> None:
    piece = Piece(find_mutants(["lse-in-base-two"]), (TAIL,), {name: name for name in (DERIVED, "flash-attention")})
    assert list(find_kills(piece).killed) == [("lse-in-base-two", DERIVED)]


def test_a_matrix_has_every_test_that_kills_and_no_other() -> None:
    matrix = kill_matrix(find_mutants(["last-tile-unmasked"]), {"tail": [TAIL], "whole": [WHOLE]}, [WHOLE], workers=1)
    (fate,) = matrix.fates
    assert (list(fate.kills), list(fate.regular), matrix.tests) == (["tail"], [], {"tail": 1, "whole": 1})


def test_first_kills_take_all_tests_together() -> None:
    matrix = first_kills(find_mutants(["last-tile-unmasked"]), {"whole": [WHOLE], "tail": [TAIL]}, workers=1)
    assert {test: kill.case for test, kill in matrix.fates[0].kills.items()} == {ANY: TAIL.id}


def test_cheaper_cells_come_first() -> None:
    matrix = kill_matrix(find_mutants(["zeros"]), {"test": [WHOLE, TAIL]}, (), workers=1)
    assert matrix.fates[0].kills["test"].case == TAIL.id


def test_an_unsatisfiable_cell_is_left_out() -> None:
    never = Case(128, 128, head_dim=16, sparsity=1.0, block_shape=(64, 64))
    assert kill_matrix(find_mutants(["zeros"]), {"test": [never]}, (), workers=1).fates[0].kills == {}


@pytest.mark.slow
def test_workers_find_what_one_process_finds() -> None:
    chosen = find_mutants(["last-tile-unmasked", "zeros", "one-tile-too-many"])
    groups = {"tail": [TAIL, CAUSAL], "whole": [WHOLE]}
    assert kill_matrix(chosen, groups, workers=2).fates == kill_matrix(chosen, groups, workers=1).fates


def not_passed(loop: type[TileLoop], cases: Sequence[Case]) -> list[str]:
    """Why cells of a clean loop did not pass, but for those that it does not claim; some pass."""
    records = judged(tile_loop(loop), cases, Session(Options()))
    reasons = [record.reason for record in records if record.outcome != "passed"]
    assert len(reasons) < len(cases)
    return [reason for reason in reasons if not reason.startswith("not claimed: ")]


@pytest.mark.parametrize("group", [name for name in DEFAULT_TIER if name.startswith("boundary")])
def test_the_clean_loop_passes_a_sample_of_the_boundary(group: str) -> None:
    cases = DEFAULT_TIER[group][::29]
    loop = SplitLoop if any(case.variants for case in cases) else TileLoop
    # The tile loop takes no block mask under a causal one.
    claimed = [case for case in cases if case.causal is None or case.sparsity is None]
    assert not claimed or not_passed(loop, claimed) == []


@pytest.mark.parametrize("group", [name for name in DEFAULT_TIER if name.startswith("backward")])
def test_the_clean_backward_loop_passes_a_sample_of_the_sweep(group: str) -> None:
    loop = VariantBackwardLoop if DEFAULT_TIER[group][0].variants else BackwardLoop
    assert not_passed(loop, DEFAULT_TIER[group][::7]) == []


SWEEPS_OF = {
    BackwardLoop: ("backward",),
    VariantLoop: ("core", "decode"),
    VariantBackwardLoop: ("backward",),
    SplitLoop: ("decode",),
}
"""The sweeps that show the bugs of loops other than the plain one."""

ELSEWHERE = ("sizes", "dims")
"""The families that die at true size or at one head dimension alone: `test_size_mutants.py` and
`test_narrow_mutants.py` name the cells that kill each."""


def sweeps_of(mutant: Mutant) -> tuple[str, ...]:
    """The sweeps that show the bugs of its loop."""
    return SWEEPS_OF.get(mutant.clean, ("smoke", "boundary"))


OTHERS = [mutant for mutant in mutants() if mutant.family not in ELSEWHERE and not mutant.equivalent]
SWEEPS = sorted({sweeps_of(mutant) for mutant in OTHERS})
EQUIVALENT = [mutant for mutant in mutants() if mutant.equivalent]


# All mutants of some sweeps at once: what the clean loop gives on a cell is then found once.
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("sweeps", SWEEPS, ids="-".join)
def test_the_cells_of_the_default_tier_kill_every_mutant(sweeps: tuple[str, ...], half: int) -> None:
    some = [each for each in OTHERS if sweeps_of(each) == sweeps][half::2]
    step = 3 if "boundary" in sweeps else 1
    third = {test: cases[::step] for test, cases in groups_of(sweeps).items()}
    matrix = first_kills(some, third, workers=1)
    assert [fate.mutant for fate in (*matrix.unexpected, *matrix.unreached)] == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("sweeps", sorted({sweeps_of(each) for each in EQUIVALENT}), ids="-".join)
def test_no_cell_of_a_sample_of_the_default_tier_kills_an_equivalent_mutant(sweeps: tuple[str, ...]) -> None:
    equivalent = [each for each in EQUIVALENT if sweeps_of(each) == sweeps]
    some = {test: cases[::9] for test, cases in DEFAULT_TIER.items()}
    assert [fate.kills for fate in first_kills(equivalent, some, workers=1).unexpected] == []
