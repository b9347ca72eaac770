"""The kill matrix: which test kills which mutant.

A cell kills a mutant where its verdict is wrong and that of the clean tile loop on the same cell is right. Mutants go
through the same door as any kernel: guarded buffers, poisoned memory, the check that the cell names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context

import torch

from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.tolerances import DERIVED, tolerance_names
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.problem.turns import Misses
from pytest_attn.problem.vocabulary import DTYPES, Alignment
from pytest_attn.report.kills import Fate, Kill, KillMatrix
from pytest_attn.selfcheck.mutants.cell import CommonCell
from pytest_attn.selfcheck.mutants.mutant import Mutant

_BOTTOM_RIGHT: Alignment = "bottom-right"
REGULAR = tuple(
    Case(length, length, head_dim=head_dim, query_heads=2, key_heads=key_heads, dtype=dtype, causal=causal)
    for length, head_dim, key_heads, causal in (
        *((128, 64, 2, None), (256, 128, 2, None), (512, 64, 1, None), (1024, 128, 1, None)),
        *((128, 64, 2, _BOTTOM_RIGHT), (512, 128, 1, _BOTTOM_RIGHT)),
    )
    for dtype in DTYPES
) + tuple(Case(1024, 1024, query_heads=2, dtype=dtype, sparsity=0.5, block_shape=(128, 128)) for dtype in DTYPES)
"""What suites with flat tolerances judge on: normal inputs, equal lengths that are multiples of 128."""

CELLS_AT_ONCE = 48
"""Cells of one piece of work: few enough to share out evenly, many enough that most mutants are killed but once."""

ANY = "any test"
"""The name under which all tests are taken together."""

Killed = dict[tuple[str, str], Kill]
"""By mutant and test, or by mutant and tolerance."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Mutants and cells, cheapest first, that one process works on, and the tolerance under which each test judges."""

    mutants: tuple[Mutant, ...]
    cases: tuple[Case, ...]
    tolerance_of: Mapping[str, str]

    @property
    def flops(self) -> int:
        """What all cells cost one kernel."""
        return sum(flops(case) for case in self.cases)


@dataclass(frozen=True, slots=True)
class Found:
    """What the cells of a piece kill; those on which the clean kernel fails, as (test, case id); and which mutants were
    run under which test, as (mutant, test)."""

    killed: Killed
    unfit: tuple[tuple[str, str], ...]
    reached: frozenset[tuple[str, str]]


def kill_matrix(
    mutants: Sequence[Mutant],
    groups: Mapping[str, Sequence[Case]],
    regular: Sequence[Case] = REGULAR,
    workers: int | None = None,
) -> KillMatrix:
    """Every mutant under every test; `groups` are the cells of each test, `regular` those that compare tolerances.

    `workers` are single-threaded processes, one per core by default; 1 works in this process.
    """
    rules = tolerance_names() if regular else ()
    pieces = [piece for test, cases in groups.items() for piece in _cut(mutants, cases, {test: DERIVED})]
    pieces += _cut(mutants, regular, {rule: rule for rule in rules})
    cells = {test: len(cases) for test, cases in groups.items()}
    return _matrix(mutants, pieces, KillMatrix((), cells, rules, len(regular)), workers)


def first_kills(
    mutants: Sequence[Mutant], groups: Mapping[str, Sequence[Case]], workers: int | None = None
) -> KillMatrix:
    """Every mutant under all tests taken together, until the first cell that kills it; see `kill_matrix`."""
    workers = workers or os.cpu_count() or 1
    cases = [case for cases in groups.values() for case in cases]
    shares = [tuple(mutants[first::workers]) for first in range(min(workers, len(mutants)))]
    pieces = [Piece(share, _cheapest_first(cases), {ANY: DERIVED}) for share in shares]
    return _matrix(mutants, pieces, KillMatrix((), {ANY: len(cases)}), workers)


def groups_of(sweeps: Sequence[str], misses: Misses | None = None) -> dict[str, tuple[Case, ...]]:
    """The cells of each test of some sweeps, those that a kernel claims where it is given. Raises ValueError naming the
    closest sweeps."""
    found = [find_sweep(name, misses) for name in dict.fromkeys(sweeps)]
    if misses is None:
        return {test: cases for sweep in found for test, cases in sweep.groups.items()}
    return {test: cases for sweep in found for test, cases in sweep.claimed(misses).items() if cases}


def _cheapest_first(cases: Sequence[Case]) -> tuple[Case, ...]:
    return tuple(sorted((case for case in cases if not case.unsatisfiable), key=lambda case: (flops(case), case.id)))


def _cut(mutants: Sequence[Mutant], cases: Sequence[Case], tolerance_of: Mapping[str, str]) -> list[Piece]:
    ordered = _cheapest_first(cases)
    starts = range(0, len(ordered), CELLS_AT_ONCE)
    return [Piece(tuple(mutants), ordered[start : start + CELLS_AT_ONCE], tolerance_of) for start in starts]


def _matrix(mutants: Sequence[Mutant], pieces: Sequence[Piece], empty: KillMatrix, workers: int | None) -> KillMatrix:
    """The matrix of what the pieces find; of a test's pieces, the one with the cheaper cells counts first."""
    start = time.perf_counter()
    killed: Killed = {}
    unfit: dict[tuple[str, str], None] = {}
    reached: set[tuple[str, str]] = set()
    for found in _work(pieces, min(workers or os.cpu_count() or 1, len(pieces))):
        killed = {**found.killed, **killed}
        unfit |= dict.fromkeys(found.unfit)
        reached |= found.reached

    def of(mutant: Mutant, tests: Iterable[str]) -> dict[str, Kill]:
        return {test: killed[mutant.name, test] for test in tests if (mutant.name, test) in killed}

    def fate(mutant: Mutant) -> Fate:
        kills, regular = of(mutant, empty.tests), of(mutant, empty.tolerances)
        ran = any((mutant.name, test) in reached for test in empty.tests)
        return Fate(mutant.name, mutant.planted, mutant.bug, mutant.equivalent, kills, regular, reached=ran)

    fates = tuple(fate(each) for each in mutants)
    return replace(empty, fates=fates, unfit=tuple(unfit), seconds=time.perf_counter() - start)


def _work(pieces: Sequence[Piece], workers: int) -> Iterator[Found]:
    """What each piece finds, in their order, whoever works on it."""
    if workers <= 1:
        with _one_thread():
            yield from map(find_kills, pieces)
        return
    dearest = sorted(range(len(pieces)), key=lambda index: -pieces[index].flops)
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures = {index: pool.submit(find_kills, pieces[index]) for index in dearest}
        yield from (futures[index].result() for index in range(len(pieces)))


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def find_kills(piece: Piece) -> Found:
    """What the cells of a piece kill; a mutant that a test has killed is not run under it again."""
    session = Session(Options())
    killed: Killed = {}
    unfit: dict[tuple[str, str], None] = {}
    reached: set[tuple[str, str]] = set()
    for case in piece.cases:
        if len(killed) == len(piece.mutants) * len(piece.tolerance_of):
            break
        cell = CommonCell(session, case, tuple(piece.tolerance_of.values()))
        for mutant in piece.mutants:
            rules = {test: rule for test, rule in piece.tolerance_of.items() if (mutant.name, test) not in killed}
            if not rules:
                continue
            clean = cell.clean(mutant.clean)
            unfit |= {(test, case.id): None for test, rule in rules.items() if not clean.right.get(rule, True)}
            rules = {test: rule for test, rule in rules.items() if clean.right.get(rule, False)}
            # A step that the clean loop does not take on the way to its result changes nothing.
            if not rules or clean.steps.isdisjoint(mutant.steps):
                continue
            reached |= {(mutant.name, test) for test in rules}
            verdicts = cell.verdicts(mutant.kernel, tuple(rules.values()))
            for test, rule in rules.items():
                if not verdicts[rule].passed:
                    killed[mutant.name, test] = Kill(case.id, verdicts[rule].findings[0].what)
    return Found(killed, tuple(unfit), frozenset(reached))
