"""What is no value of an option, of a registration or of a declaration: one sentence that names it."""

from __future__ import annotations

from typing import Any

import pytest

import pytest_attn
from pytest_attn.options.options import OPTIONS, options_of, read_options


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
@pytest.mark.parametrize("texts", [[], [""], [" "]])
def test_an_empty_line_of_the_ini_file_is_refused_by_its_key(option: Any, texts: list[str]) -> None:
    with pytest.raises(ValueError, match=f"^{option.ini}: empty; allowed: "):
        read_options({option.name: texts}, {option.name})


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 10**30])
def test_a_seed_beyond_64_bits_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=r"^seed=.* is no seed; allowed: a whole number, -2\^63 to 2\^64 - 1$"):
        options_of({"seed": seed})


@pytest.mark.parametrize("seed", [2**64 - 1, -(2**63)])
def test_every_seed_of_64_bits_is_one(seed: int) -> None:
    case = "b1-h1-s4-d8-float32-out-exact"
    (record,) = pytest_attn.check_kernel("eager", case=case, seed=seed, cache=False)
    assert record.outcome == "passed"


@pytest.mark.parametrize("text", ["²", "1" * 5000, "-1", "1.5"])
def test_what_is_no_number_of_cells_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^--attn-require: unknown requirement "):
        read_options({"require": [text]})


def variant(**attributes: Any) -> type:
    return type("Other", (pytest_attn.Variant,), attributes)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "register_variant: 3; allowed: a class derived from pytest_attn.Variant"),
        (None, "register_variant: None; allowed: "),
        (int, "register_variant: <class 'int'>; allowed: "),
        (variant(), "variant Other: capability is None; allowed: the name of a keyword"),
        (variant(capability=3, pattern="x"), "variant Other: capability is 3; allowed: "),
        (variant(capability="a b", pattern="x"), "variant Other: capability is 'a b'; allowed: "),
        (variant(capability="ab"), "variant Other: pattern is None; allowed: a regular expression"),
        (variant(capability="ab", pattern="("), "variant Other: pattern is '(' ; allowed: ".replace(" ;", ";")),
    ],
)
def test_what_is_no_variant_is_not_registered(given: Any, says: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        pytest_attn.register_variant(given)
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize("given", ["x", None, 3, pytest_attn.DataType])
def test_what_is_no_data_type_is_not_registered(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^register_dtype: .*; allowed: a pytest_attn\.DataType$"):
        pytest_attn.register_dtype(given)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 3),
        ("name", None),
        ("torch", 3),
        ("torch", ""),
        ("item_bytes", "x"),
        ("item_bytes", 0),
        ("item_bytes", None),
        ("chain", 0),
        ("chain", True),
        ("exp_error", "x"),
        ("exp_error", float("nan")),
        ("tanh_error", -1),
        ("oracle", "float16"),
        ("accumulator", None),
    ],
)
def test_a_data_type_of_wrong_fields_is_refused_by_the_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^DataType: {field} is "):
        pytest_attn.DataType(**{"name": "tiny", "torch": "float8_e4m3fn", "item_bytes": 1, field: value})


def test_a_declaration_without_brackets_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^kernel: .*; allowed: @pytest_attn\.kernel\(\.\.\.\)$"):
        pytest_attn.kernel(lambda query, key, value: query)


@pytest.mark.parametrize("decorator", [pytest_attn.kernel, pytest_attn.kernel(lse=True)])
def test_the_decorator_itself_is_no_kernel(decorator: Any) -> None:
    with pytest.raises(ValueError, match="it is a decorator that was given no function"):
        pytest_attn.check_kernel(decorator)
