"""Values on the wire: the form that they have in a run document and between xdist workers, which is strict JSON.

JSON has no infinity and no NaN: such numbers are the texts `Infinity`, `-Infinity` and `NaN`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

NOT_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def encoded(value: Any) -> Any:
    """Plain data of lists, texts, finite numbers and mappings by text, of a value made of tuples and floats, too.

    Raises TypeError for what is no plain data.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else str(value).replace("inf", "Infinity")
    if isinstance(value, Mapping):
        return {str(name): encoded(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [encoded(each) for each in value]
    raise TypeError(f"{type(value).__name__} is no plain data")


def number(value: Any) -> float:
    """The number that `encoded` wrote. Raises ValueError for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r:.60} is no number")
    if isinstance(value, str):
        if value not in NOT_FINITE:
            raise ValueError(f"{value!r:.60} is no number")
        return NOT_FINITE[value]
    return value


def numbers(plain: Any) -> dict[str, float]:
    """Numbers by name. Raises ValueError where one is none."""
    if not isinstance(plain, dict):
        raise ValueError(f"{plain!r:.60} is no object of numbers")
    return {name: number(value) for name, value in plain.items()}


def line_of(plain: Mapping[str, Any]) -> str:
    """One line of a run document, with its end."""
    return json.dumps(encoded(plain), allow_nan=False, ensure_ascii=False) + "\n"
