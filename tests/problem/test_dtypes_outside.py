"""A data type that another package registers is judged as the built-in ones are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import pytest_attn
from pytest_attn.judge.budget.precision import precision
from pytest_attn.problem import dtypes
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.records.record import Record

FLOAT8 = pytest_attn.DataType(name="float8e5m2", torch="float8_e5m2", item_bytes=1)
ID = "b1-h2-s65x129-d32-float8e5m2-both-exact"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "_TYPES", dict(dtypes.data_types()))
    pytest_attn.register_dtype(FLOAT8)


def judged(wrong: float, case: str = ID) -> Record:
    """A kernel of float8 whose output is `wrong` times too large."""

    @pytest_attn.kernel(dtypes=("float8e5m2",), lse=True, numerics=pytest_attn.Numerics(probabilities="float32"))
    def kernel(query: Any, key: Any, value: Any, *, scale: float, return_lse: bool) -> Any:
        scores = query.float() @ key.float().mT * scale
        out = (wrong * scores.softmax(dim=3) @ value.float()).to(query.dtype)
        return (out, scores.logsumexp(dim=3)) if return_lse else out

    [record] = pytest_attn.check_kernel(kernel, case=[case])
    return record


@pytest.mark.usefixtures("registered")
def test_its_name_is_read_back_from_an_id() -> None:
    assert Problem.of(Case.parse(ID)).dtype == torch.float8_e5m2


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("case", [ID, ID.replace("both", "needle-both"), ID.replace("exact", "again")])
def test_a_right_kernel_is_green(case: str) -> None:
    record = judged(1.0, case)
    assert record.outcome == "passed", record.reason


@pytest.mark.usefixtures("registered")
def test_a_wrong_kernel_is_red() -> None:
    assert judged(1.1).outcome == "failed"


def attention(query: Any, key: Any, value: Any, *, scale: float, weights: torch.dtype = torch.float32) -> Any:
    """A flash kernel of one tile, which rounds its weights before they meet the values."""
    scores = query.float() @ key.float().mT * scale
    exponentials = (scores - scores.amax(dim=3, keepdim=True)).exp()
    out = exponentials.to(weights).float() @ value.float() / exponentials.sum(dim=3, keepdim=True)
    return out.to(query.dtype)


def test_arithmetic_that_is_declared_before_it_covers_it(request: pytest.FixtureRequest) -> None:
    declared = pytest_attn.Numerics(probabilities="float8_e5m2", exp_error=0.25)
    kernel = pytest_attn.kernel(numerics=declared)(attention)
    request.getfixturevalue("registered")
    assert kernel.numerics_for(Problem.of(Case.parse(ID))) == declared


@pytest.mark.usefixtures("registered")
def test_its_name_is_one_of_a_precision() -> None:
    named, own = (pytest_attn.Numerics(probabilities=name) for name in ("float8e5m2", "float8_e5m2"))
    problem = Problem.of(Case.parse(ID))
    assert precision(named.probabilities, problem) == precision(own.probabilities, problem) == torch.float8_e5m2


@pytest.mark.parametrize("weights", ["float8_e5m2", "float8_e4m3fn"])
def test_weights_of_a_type_that_nobody_registered_are_budgeted(weights: str) -> None:
    @pytest_attn.kernel(numerics=pytest_attn.Numerics(probabilities=weights))
    def kernel(query: Any, key: Any, value: Any, *, scale: float) -> Any:
        return attention(query, key, value, scale=scale, weights=getattr(torch, weights))

    [record] = pytest_attn.check_kernel(kernel, case=["b1-h2-s65x900-d32-bfloat16-large-out-exact"])
    assert record.outcome == "passed", record.reason


@pytest.mark.usefixtures("registered")
def test_it_is_claimed_by_name_only() -> None:
    [record] = pytest_attn.check_kernel("eager", case=[ID])
    assert record.reason == "not claimed: dtype float8e5m2"


def test_a_data_type_that_is_not_registered_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dtype is 'float8e5m2'; allowed: bfloat16, float16, float32, float64$"):
        Case.parse(ID)


def test_a_name_that_no_id_could_hold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^DataType: name is 'float8_e5m2'; allowed: lower-case letters and digits"):
        pytest_attn.DataType(name="float8_e5m2", torch="float8_e5m2", item_bytes=1)


@pytest.mark.usefixtures("registered")
def test_a_name_has_one_data_type() -> None:
    other = pytest_attn.DataType(name="float8e5m2", torch="float8_e4m3fn", item_bytes=1)
    with pytest.raises(ValueError, match=r"^data type 'float8e5m2': the name is taken by another one$"):
        pytest_attn.register_dtype(other)
