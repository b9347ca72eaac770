"""What a kernel may say of its arithmetic, and how anything else is refused."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
import torch

import pytest_attn
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.numerics import OPTIONAL_PRECISIONS, EmptyRows, Numerics


@pytest.mark.parametrize(
    ("declaration", "keywords", "says"),
    [
        (Numerics, {"probabilties": "float32"}, "Numerics: unknown field 'probabilties'; allowed: probabilities, "),
        (Numerics, {"chain": 8, "exp_err": 0.1}, "Numerics: unknown field 'exp_err'; allowed: exp_error, "),
        (EmptyRows, {"ouut": "zero"}, "EmptyRows: unknown field 'ouut'; allowed: out, lse"),
        (Capabilities, {"casual": True}, "Capabilities: unknown field 'casual'; allowed: causal, "),
    ],
)
def test_an_unknown_field_names_the_closest(declaration: Any, keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}"):
        declaration(**keywords)


@pytest.mark.parametrize("name", ["probabilities", "values", *OPTIONAL_PRECISIONS])
@pytest.mark.parametrize("precision", ["fp8", "", "int8", "Tensor", torch.float32, ["float32"], 32])
def test_a_precision_that_does_not_exist_is_refused(name: str, precision: Any) -> None:
    words = "input, float64, float32, bfloat16, float16, or another floating dtype by its name"
    with pytest.raises(ValueError, match=rf"^Numerics: {name} is .*; allowed: (None, )?{words}$"):
        Numerics(**{name: precision})


@pytest.mark.parametrize("error", [math.nan, math.inf, -1e-9, 1.0, 2, False, True, "1e-3"])
def test_an_error_of_the_exponential_outside_0_to_1_is_refused(error: Any) -> None:
    with pytest.raises(ValueError, match=r"^Numerics: exp_error is .*; allowed: None or a number, 0 to 1$"):
        Numerics(exp_error=error)


@pytest.mark.parametrize("chain", [0, -1, 512.0, math.nan, True, "512"])
@pytest.mark.parametrize("name", ["chain", "row_chain"])
def test_a_chain_that_is_no_whole_number_is_refused(name: str, chain: Any) -> None:
    with pytest.raises(ValueError, match=rf"^Numerics: {name} is .*; allowed: a whole number, 1 or more$"):
        Numerics(**{name: chain})


@pytest.mark.parametrize("out", ["zeros", None, 0.0])
def test_an_output_of_empty_rows_that_does_not_exist_is_refused(out: Any) -> None:
    with pytest.raises(ValueError, match=r"^EmptyRows: out is .*; allowed: zero, any$"):
        EmptyRows(out=out)


@pytest.mark.parametrize("lse", ["-inf", True, [0.0]])
def test_an_lse_of_empty_rows_that_is_no_number_is_refused(lse: Any) -> None:
    with pytest.raises(ValueError, match=r"^EmptyRows: lse is .*; allowed: None or a number, infinities and NaN too$"):
        EmptyRows(lse=lse)


@pytest.mark.parametrize("lse", [None, 0, 0.0, math.nan, math.inf, -math.inf, -3.4e38])
def test_every_number_is_an_lse_of_empty_rows(lse: float | None) -> None:
    assert EmptyRows(lse=lse).lse is lse


DECLARATIONS = [Numerics(logits="bfloat16", exp_error=0, chain=7), EmptyRows(out="any"), Capabilities(lse=True)]


@pytest.mark.parametrize("declared", DECLARATIONS, ids=lambda value: type(value).__name__)
def test_a_declaration_survives_pickling_and_copying(declared: Any) -> None:
    copies = [pickle.loads(pickle.dumps(declared, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    assert all(other == declared for other in [*copies, copy.copy(declared), copy.deepcopy(declared)])


def test_a_declaration_is_replaced_field_by_field() -> None:
    assert replace(Numerics(chain=7), logits="float16") == Numerics(chain=7, logits="float16")
    with pytest.raises(ValueError, match=r"^Numerics: unknown field 'logit'; allowed: logits, "):
        replace(Numerics(), logit="float16")  # type: ignore[call-arg]


def test_a_declaration_stays_frozen_without_a_dict() -> None:
    with pytest.raises(FrozenInstanceError):
        Numerics().chain = 8  # type: ignore[misc]
    assert not hasattr(Numerics(), "__dict__")


@pytest.mark.parametrize("declaration", [Numerics, EmptyRows, Capabilities])
def test_the_signature_of_a_declaration_names_its_fields(declaration: Any) -> None:
    assert [*inspect.signature(declaration).parameters] == [item.name for item in fields(declaration)]


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"numerics": "bfloat16"}, "numerics is 'bfloat16'; allowed: a Numerics, or a mapping from dtype names to "),
        ({"numerics": Numerics}, "numerics is <class .*>; allowed: a Numerics, or a mapping"),
        ({"numerics": ("float32",)}, r"numerics is \('float32',\); allowed: a Numerics, or a mapping"),
        ({"numerics": {"half": Numerics()}}, "numerics has 'half'; allowed: "),
        ({"numerics": {torch.float16: Numerics()}}, "numerics has torch.float16; allowed: float16, "),
        ({"numerics": {"float16": "float32"}}, "numerics for float16 is 'float32'; allowed: a Numerics$"),
        ({"numerics": {"float16": None}}, "numerics for float16 is None; allowed: a Numerics$"),
        ({"empty_rows": "zero"}, "empty_rows is 'zero'; allowed: an EmptyRows or None$"),
        ({"empty_rows": EmptyRows}, "empty_rows is <class .*>; allowed: an EmptyRows or None$"),
    ],
)
def test_a_kernel_refuses_a_declaration_of_another_type(declared: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^kernel: {says}"):
        pytest_attn.kernel(**declared)
