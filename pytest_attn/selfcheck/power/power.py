"""The power of every verdict on one case, measured."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from pytest_attn.devices.workers import share
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.pairs import flops, pairs
from pytest_attn.problem.problem import Problem
from pytest_attn.report.power_table import Power, Seen
from pytest_attn.selfcheck.power.clean import Clean
from pytest_attn.selfcheck.power.clean_variants import CleanVariants, clean
from pytest_attn.selfcheck.power.defects import Correct, Defect, LeftOut, Result, defects
from pytest_attn.selfcheck.power.gradients import CleanBackward, gradient_defects
from pytest_attn.selfcheck.power.judges import Judges
from pytest_attn.selfcheck.power.search import least_seen
from pytest_attn.selfcheck.power.variant_defects import variant_defects


def power_of(case: Case, seed: int = 42, budget_gflop: float = float("inf")) -> Power:
    """The least amount of each defect that the derived budget and each flat tolerance see on a case.

    A defect is injected into the result of a correct kernel of the default `Numerics`. Raises ValueError where the case
    is unsatisfiable or costs more than the budget.
    """
    _refuse(case, budget_gflop)
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed, case.recipe)
    loop = CleanBackward(problem) if problem.wants_grad else clean(problem)
    judges = Judges.of(problem, inputs, loop.kernel)
    result, found = _result_and_defects(problem, inputs, loop, flops(case))
    stored = judges.store(result)
    verdicts = {name: judges.verdict(name, stored) for name in judges.names}
    red = {name: verdict.summary for name, verdict in verdicts.items() if not verdict.passed}
    return Power(
        case=case.id,
        dtype=case.dtype,
        heads=case.batch * case.query_heads,
        queries=case.query_length,
        keys=case.key_length,
        pairs=pairs(case),
        seed=seed,
        judges=judges.names,
        rows=_rows([defect for defect in found if isinstance(defect, Defect)], judges, red),
        red=red,
        left_out={defect.name: defect.why for defect in found if isinstance(defect, LeftOut)},
    )


def _result_and_defects(
    problem: Problem, inputs: Inputs, loop: Clean, flops: int
) -> tuple[Result, tuple[Defect | LeftOut, ...]]:
    if isinstance(loop, CleanBackward):
        gradients = loop.backward(problem, inputs)
        return gradients, tuple(gradient_defects(problem, inputs, gradients, flops))
    result = loop.unrounded(problem, inputs)
    correct = Correct(problem, inputs, result, flops)
    return result, (*defects(correct), *variant_defects(correct))


def _rows(found: Sequence[Defect], judges: Judges, red: Container[str]) -> tuple[Seen, ...]:
    able = [name for name in judges.names if name not in red]
    least: dict[str, dict[str, float | None]] = {}

    def search(defect: Defect) -> dict[str, float | None]:
        return least_seen(lambda amount: judges.store(defect.inject(amount)), judges.sees, able, defect.amounts)

    def work(shared: Iterator[Defect]) -> None:
        least.update((defect.name, search(defect)) for defect in shared)

    share(found, work)
    return tuple(Seen(defect.name, defect.counted, defect.amounts.most, least[defect.name]) for defect in found)


def _refuse(case: Case, budget_gflop: float) -> None:
    if case.unsatisfiable:
        raise ValueError(f"case {case.id} is unsatisfiable: {case.unsatisfiable}")
    foreign = [each.capability for each in case.variants if each.capability not in CleanVariants.capabilities.variants]
    if foreign:
        known = ", ".join(CleanVariants.capabilities.variants)
        raise ValueError(f"case {case.id}: the clean kernel does not know {foreign[0]}; allowed: {known}")
    if case.variants and case.ask == "grad":
        raise ValueError(f"case {case.id}: the clean backward pass knows no variants; allowed: out, lse or both")
    if case.sparsity is not None and (case.causal or case.variants):
        raise ValueError(f"case {case.id}: the clean kernel does not know a block mask beside another")
    if flops(case) > budget_gflop * 1e9:
        cost = f"case {case.id} costs {flops(case) / 1e9:.3g} GFLOP, over the budget of {budget_gflop:g}"
        raise ValueError(f"{cost}; allowed: a case that costs less, or --budget=none")
