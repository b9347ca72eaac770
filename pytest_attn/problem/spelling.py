"""How numbers are spelled in ids: lower-case letters and digits only."""

from __future__ import annotations

from functools import cache

NUMBER = r"m?\d+(?:p\d+)?(?:em?\d+)?"
"""A number in an id, as a regular expression: `m` for minus, `p` for the point."""


def number_to_id(value: float) -> str:
    """-0.25 as `m0p25`, 1e-5 as `1em05`."""
    text = repr(value).removesuffix(".0")
    return text.replace("+", "").replace("-", "m").replace(".", "p")


def percent_to_id(fraction: float) -> str:
    """A fraction as its percentage with up to 12 digits: 0.57 as `57`."""
    # repr would give 56.99999999999999 for 0.57 * 100.
    return number_to_id(float(f"{fraction * 100:.12g}"))


def number_from_id(text: str) -> float:
    """The number that `number_to_id` spelled: `m0p25` is -0.25."""
    return float(text.replace("m", "-").replace("p", "."))


@cache
def spelled_percent(fraction: float) -> float:
    """The fraction that an id has of one: its percentage with 12 digits."""
    return number_from_id(percent_to_id(fraction)) / 100 + 0.0  # of both zeros, which a cache takes for one, 0
