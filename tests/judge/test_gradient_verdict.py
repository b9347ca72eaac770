"""The verdict on gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pytest_attn.execution.cell import Cell
from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.gradients import judge_gradients
from pytest_attn.judge.verdict.judge import budget_of
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Kernel, Output
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.options.options import Options
from pytest_attn.oracles.reference import Reference, ReferenceGradients
from pytest_attn.problem.case import Case
from pytest_attn.problem.vocabulary import DTYPES

SESSION = Session(Options())
CASE = Case(40, 70, head_dim=16, query_heads=4, key_heads=2, dtype="float32", ask="grad")
HIDDEN = replace(CASE, query_length=60, key_length=40, causal="bottom-right")
"""The first 20 rows have no key."""

UNSEEN = replace(CASE, query_length=40, key_length=60, causal="top-left")
"""The last 20 keys are seen by no query."""

NAMES = ("dq", "dk", "dv")


def right(case: Case) -> tuple[Cell, Gradients]:
    """A cell of the eager kernel, and the gradients that it gives."""
    cell = SESSION.cell("eager", case)
    returned = cell.run()
    assert returned.grads is not None
    return cell, returned.grads


def verdict(
    cell: Cell, grads: Gradients | None, reference: Reference | None = None, kernel: Kernel | None = None
) -> Verdict:
    """On gradients, as if the kernel of the cell had given them."""
    reference = reference or cell.reference
    allowed = budget_of(cell.problem, cell.inputs, cell.reference, kernel or cell.kernel)
    return judge_gradients(cell.problem, cell.inputs, Output(cell.inputs.grad_out, None, grads), reference, allowed)


def changed(grads: Gradients, name: str, index: tuple[int, ...], value: float) -> Gradients:
    tensor: Tensor = getattr(grads, name).clone()
    tensor[index] = value
    return grads._replace(**{name: tensor})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("causal", [None, "bottom-right"])
def test_correct_kernels_are_right_and_their_errors_as_large_as_expected(kernel: str, dtype: str, causal: None) -> None:
    figures = SESSION.cell(kernel, replace(CASE, dtype=dtype, causal=causal)).judge()
    assert figures.passed, figures.summary
    for name in NAMES:
        assert 0.4 < figures.figures[f"{name}_rms"] < 1.15


def test_adding_zeros_rounds_nothing() -> None:
    case = replace(CASE, query_length=129, key_length=257, head_dim=64, recipe="onehotgrad")
    assert SESSION.cell("eager", case).judge().figures["dv_rms"] > 0.5


@pytest.mark.parametrize("name", ["dq", "dk", "dv"])
def test_a_kept_softmax_rounds_no_lse(name: str) -> None:
    case = replace(CASE, query_length=129, key_length=257, head_dim=64)
    assert SESSION.cell("eager", case).judge().figures[f"{name}_rms"] > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_one_element_that_is_off_is_seen(name: str) -> None:
    cell, grads = right(CASE)
    wrong = changed(grads, name, (0, 1, 7, 3), float(getattr(grads, name)[0, 1, 7, 3]) + 1e-5)
    (finding, *_) = verdict(cell, wrong).findings
    assert finding.what in (f"{name}_row_rms", f"{name}_largest")
    assert "head 1" in finding.phrase


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_on_one_gradient_is_seen(name: str) -> None:
    cell, grads = right(CASE)
    assert not verdict(cell, grads._replace(**{name: getattr(grads, name) * 1.0001})).passed


@pytest.mark.parametrize("name", NAMES)
def test_a_number_that_is_none_is_a_fact(name: str) -> None:
    cell, grads = right(CASE)
    (finding,) = verdict(cell, changed(grads, name, (0, 0, 5, 0), float("nan"))).findings
    assert finding.what == "finite"
    assert finding.phrase.startswith(f"{name}: not finite in 1 of ")


def test_a_row_without_keys_has_a_gradient_of_exactly_zero() -> None:
    cell, grads = right(HIDDEN)
    assert verdict(cell, grads).passed
    (finding,) = verdict(cell, changed(grads, "dq", (0, 0, 5, 0), 1e-30)).findings
    assert finding.phrase == "dq: rows without keys are not 0 in 1 of 240 rows, first at batch 0, head 0, row 5"


@pytest.mark.parametrize("name", ["dk", "dv"])
def test_a_key_that_no_query_sees_has_a_gradient_of_exactly_zero(name: str) -> None:
    cell, grads = right(UNSEEN)
    assert verdict(cell, grads).passed
    (finding,) = verdict(cell, changed(grads, name, (0, 1, 55, 0), 1e-30)).findings
    assert finding.phrase.startswith(f"{name}: keys that no query may attend to are not 0 in 1 of 120 rows")


def test_a_wrong_shape_is_a_fact() -> None:
    cell, grads = right(CASE)
    (finding,) = verdict(cell, grads._replace(dk=grads.dk[:, :, :-1])).findings
    assert finding.what == "shape"


def test_gradients_that_are_missing_are_a_fact() -> None:
    cell, _ = right(CASE)
    (finding,) = verdict(cell, None).findings
    assert finding.phrase == "grads: missing"


def with_grads(reference: Reference, name: str, factor: float) -> Reference:
    assert reference.grads is not None
    grads: ReferenceGradients = reference.grads
    return replace(reference, grads=grads._replace(**{name: getattr(grads, name) * factor}))


@pytest.mark.parametrize(("name", "phrase"), [("dv", "dv over all keys"), ("dq", "<q, dq>"), ("dk", "<q, dq>")])
def test_a_reference_that_cannot_be_true_is_doubted(name: str, phrase: str) -> None:
    cell, grads = right(CASE)
    (finding,) = verdict(cell, grads, with_grads(cell.reference, name, 1.01)).findings
    assert finding.what == "reference"
    assert phrase in finding.phrase


def test_a_reference_that_shares_memory_with_the_result_is_doubted() -> None:
    cell, grads = right(CASE)
    truth = cell.reference.grads
    assert truth is not None
    (finding,) = verdict(cell, grads._replace(dq=truth.dq)).findings
    assert finding.phrase == "reference: dq shares memory with the kernel's dq"


def test_rounded_score_gradients_are_red_unless_declared() -> None:
    case = replace(CASE, dtype="bfloat16")
    cell = SESSION.cell("sdpa", case)
    grads = cell.run().grads
    kept = Numerics(
        probabilities="float32", backward=BackwardNumerics(score_gradients="float32", grouped_gradients="float32")
    )
    strict = replace(find_kernel("sdpa"), numerics={"bfloat16": kept})
    assert verdict(cell, grads).passed
    assert not verdict(cell, grads, kernel=strict).passed


def test_the_gradient_along_a_constant_column_of_keys_is_zero() -> None:
    cell = SESSION.cell("eager", replace(CASE, recipe="constantcolumn"))
    truth = cell.reference.grads
    assert truth is not None
    assert float(truth.dq[..., 0].abs().max()) < 1e-12
    returned = cell.run().grads
    shifted = torch.zeros_like(returned.dq)
    shifted[..., 0] = 1e-5
    assert not verdict(cell, returned._replace(dq=returned.dq + shifted)).passed
