"""A floor is a percentage with decimals, and nothing else."""

from __future__ import annotations

import pytest

from pytest_attn.options.values import parse_slowdown


@pytest.mark.parametrize(
    ("text", "fraction"),
    [("5%", 0.05), ("2.5%", 0.025), (" 2.5 % ", 0.025), ("0.05", 0.05), (".05", 0.05), ("100%", 1.0)],
)
def test_a_slowdown_is_read_with_decimals(text: str, fraction: float) -> None:
    assert parse_slowdown(text) == pytest.approx(fraction)


@pytest.mark.parametrize(
    "text", ["", "%", "5", "-5%", "0%", "0", "nan", "inf%", "1e-2", "5%%", "mean:5%", "200%", "0.01%"]
)
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r".*allowed: 0\.1% to 100%"):
        parse_slowdown(text)
