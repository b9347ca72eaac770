"""The power of every verdict on one case, measured."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from pytest_attn.power.clean import Clean
from pytest_attn.power.defects import Correct, Defect, LeftOut, defects
from pytest_attn.power.judges import JUDGES, Judges
from pytest_attn.power.search import least_seen
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.report.power_table import Power, Seen
from pytest_attn.workers import share


def power_of(case: Case, seed: int = 42, budget_gflop: float = float("inf")) -> Power:
    """The least amount of each defect that the derived budget and each flat tolerance see on a case.

    A defect is injected into the result of a correct kernel of the default `Numerics`. Raises ValueError where the case
    is unsatisfiable or costs more than the budget.
    """
    _refuse(case, budget_gflop)
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed, case.recipe)
    loop = Clean(problem)
    clean = loop.unrounded(problem, inputs)
    judges = Judges.of(problem, inputs, loop.kernel)
    stored = judges.store(clean)
    verdicts = {name: judges.verdict(name, stored) for name in JUDGES}
    red = {name: verdict.summary for name, verdict in verdicts.items() if not verdict.passed}
    found = tuple(defects(Correct(problem, inputs, clean, case.flops)))
    return Power(
        case=case.id,
        dtype=case.dtype,
        heads=case.batch * case.query_heads,
        queries=case.query_length,
        keys=case.key_length,
        pairs=case.pairs,
        seed=seed,
        judges=JUDGES,
        rows=_rows([defect for defect in found if isinstance(defect, Defect)], judges, red),
        red=red,
        left_out={defect.name: defect.why for defect in found if isinstance(defect, LeftOut)},
    )


def _rows(found: Sequence[Defect], judges: Judges, red: Container[str]) -> tuple[Seen, ...]:
    able = [name for name in JUDGES if name not in red]
    least: dict[str, dict[str, float | None]] = {}

    def search(defect: Defect) -> dict[str, float | None]:
        return least_seen(lambda amount: judges.store(defect.inject(amount)), judges.sees, able, defect.amounts)

    def work(shared: Iterator[Defect]) -> None:
        least.update((defect.name, search(defect)) for defect in shared)

    share(found, work)
    return tuple(Seen(defect.name, defect.counted, defect.amounts.most, least[defect.name]) for defect in found)


def _refuse(case: Case, budget_gflop: float) -> None:
    if case.ask == "grad":
        raise ValueError(f"case {case.id} asks for gradients; allowed: out, lse or both")
    if case.unsatisfiable:
        raise ValueError(f"case {case.id} is unsatisfiable: {case.unsatisfiable}")
    if case.variants or (case.causal and case.sparsity is not None):
        raise ValueError(f"case {case.id}: defects are injected under one mask; allowed: a case without variants")
    if case.flops > budget_gflop * 1e9:
        cost = f"case {case.id} costs {case.flops / 1e9:.3g} GFLOP, over the budget of {budget_gflop:g}"
        raise ValueError(f"{cost}; allowed: a case that costs less, or --budget=none")
