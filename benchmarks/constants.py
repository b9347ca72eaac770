"""What the constants of `pytest_attn/judge/calibration.py` rest on: each measured, with its spread.

    python benchmarks/constants.py [chains] [repeats] [model] [changes]

chains: how many terms a product on this CPU adds in one chain, by how much it rounds. repeats: by how much equal logits
raise the variance of summed roundings, for every recipe. model: the RMS of the errors of correct kernels, of outputs
and of gradients, over the limit that it has without MODEL. changes: errors of kernels that change their logits, under
budgets of other CHANGE_ROUNDINGS. The seeds are fixed; without an argument all four, in two minutes on one core.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import torch

from pytest_attn.execution.session import Session
from pytest_attn.judge.budget import forward_rows
from pytest_attn.judge.budget.precision import ROUNDING_SQUARE
from pytest_attn.judge.budget.repeats import repeats
from pytest_attn.judge.calibration import CHANGE_ROUNDINGS, MODEL
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.recipes import DRAWERS
from pytest_attn.problem.variants import Alibi, Bias, Softcap
from pytest_attn.records.record import Record

HALF_TYPES = ("bfloat16", "float16")
KERNELS = ("eager", "sdpa", "block_sparse")
SEEDS = (42, 43, 44)
DRAWS = 64


def chains() -> None:
    """The L of which (L + n / L) / 2 are the squared roundings that a product of n random terms shows."""
    print(f"{'terms':>7}{'rows':>6}{'roundings':>11}{'chain':>7}")
    found = []
    for terms, rows in product((512, 1024, 2048, 4096, 8192, 16384), (8, 64)):
        shown = statistics.fmean(random_roundings(terms, rows, seed) for seed in range(DRAWS // rows))
        # The shorter of the two that round as much is the chain, the other the number of chains.
        chain = shown + (shown**2 - terms) ** 0.5 if shown**2 > terms else terms**0.5
        found.append(min(chain, terms))
        print(f"{terms:7}{rows:6}{shown:11.1f}{found[-1]:7.0f}")
    print(f"chains of {min(found):.0f} to {max(found):.0f} terms, where 512 are declared\n")


def random_roundings(terms: int, rows: int, seed: int) -> float:
    """The mean square of the errors of a float32 product, in those of one rounding of its random part."""
    generator = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(shape, generator=generator) for shape in ((rows, terms), (terms, 64)))
    error = (one @ other).double() - one.double() @ other.double()
    random_part = one.double().square() @ other.double().square()
    unit = torch.finfo(torch.float32).eps / 2
    return float(error.square().mean() / random_part.mean() / (ROUNDING_SQUARE * unit**2))


def repetitions() -> None:
    """Smallest and largest r over dtypes, masks, head dimensions and seeds, by recipe."""
    print(f"{'recipe':18}{'smallest r':>12}{'largest r':>12}")
    for recipe in DRAWERS:
        found = [
            float(repeats(problem, Inputs.draw(problem, seed, recipe)).max())
            for problem, seed in product(_problems(recipe), SEEDS)
        ]
        print(f"{recipe:18}{min(found):12.4f}{max(found):12.4f}")
    print()


def _problems(recipe: str) -> Iterator[Problem]:
    for dtype, causal, dim in product((*HALF_TYPES, "float32"), (None, "bottom-right"), (32, 128)):
        yield Problem.of(Case(200, 700, head_dim=dim, dtype=dtype, causal=causal, recipe=recipe))  # type: ignore[arg-type]


def model() -> None:
    """Extremes of the RMS of outputs and gradients, and of its share of the limit, by dtype."""
    print(f"{'dtype':10}{'asked':6}{'cells':>6}{'RMS of error/sigma':>20}{'largest of limit / MODEL':>26}")
    for dtype, ask in product((*HALF_TYPES, "float32"), ("out", "grad")):
        cases = [replace(case, ask=ask) for case in _shapes(dtype, 4 if ask == "out" else 2)]  # type: ignore[arg-type]
        records = [each for seed in SEEDS for each in run(KERNELS, cases, seed)]
        figures = [each for record in records for each in record.figures.items()]
        rms = [size for name, size in figures if name.endswith("_rms") and not name.endswith("row_rms")]
        share = max(size for name, size in figures if name.endswith("_rms_share") and "row" not in name)
        print(f"{dtype:10}{ask:6}{len(records):6}{f'{min(rms):.3f} to {max(rms):.3f}':>20}{share * MODEL:26.3f}")
    print()


def _shapes(dtype: str, count: int) -> list[Case]:
    """Dense and causal cases of the first `count` lengths."""
    lengths = ((64, 64), (500, 500), (17, 1300), (1000, 1000))
    dense = [
        Case(queries, keys, head_dim=dim, query_heads=2, dtype=dtype)  # type: ignore[arg-type]
        for (queries, keys), dim in product(lengths[:count], (32, 64, 128))
    ]
    return [*dense, *(replace(case, causal="bottom-right") for case in dense)]


def run(kernels: tuple[str, ...], cases: list[Case], seed: int) -> list[Record]:
    """The records of the cells that run."""
    session = Session(Options(budget=float("inf"), seed=seed))
    made = (session.cell(kernel, case).record() for kernel, case in product(kernels, cases))
    return [record for record in made if record.ran]


def changes() -> None:
    """RMS of out, and the largest LSE of its limit, under budgets of other CHANGE_ROUNDINGS; red cells of all."""
    variants = (Alibi(), Bias(per_head=True), Softcap(15.0))
    cases = [
        Case(length, length, head_dim=64, query_heads=2, dtype=dtype, variants=(variant,), ask="both", recipe=recipe)  # type: ignore[arg-type]
        for length, dtype, variant, recipe in product((64, 500), ("float32", "bfloat16"), variants, ("normal", "large"))
    ]
    print(f"{'roundings':>9}{'dtype':>10}{'cells':>6}{'RMS of error/sigma':>20}{'largest lse':>12}{'red':>5}")
    for count in (0, 1, 2, CHANGE_ROUNDINGS, 2 * CHANGE_ROUNDINGS):
        forward_rows.CHANGE_ROUNDINGS = count  # type: ignore[attr-defined]
        records = [record for seed in SEEDS for record in run(("eager", "naive"), cases, seed)]
        for dtype in ("float32", "bfloat16"):
            own = [record for record in records if dtype in record.case]
            rms = [record.figures["out_rms"] for record in own if "out_rms" in record.figures]
            lse = max(record.figures.get("lse_share", 0.0) for record in own)
            red = sum(record.outcome == "failed" for record in own)
            print(f"{count:9}{dtype:>10}{len(own):6}{f'{min(rms):.3f} to {max(rms):.3f}':>20}{lse:12.3f}{red:5}")
    forward_rows.CHANGE_ROUNDINGS = CHANGE_ROUNDINGS  # type: ignore[attr-defined]


PARTS: dict[str, Callable[[], None]] = {"chains": chains, "repeats": repetitions, "model": model, "changes": changes}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all by default")
    for part in parser.parse_args().parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
