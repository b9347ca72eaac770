"""Plain data: dataclasses as strict JSON holds them, and back.

JSON has no infinity and no NaN: such numbers are the texts `Infinity`, `-Infinity` and `NaN`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

NOT_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def encoded(value: Any) -> Any:
    """Plain data of lists, texts, finite numbers and mappings by text, of a value made of dataclasses and tuples, too.

    Raises TypeError for what is no plain data.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else str(value).replace("inf", "Infinity")
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: encoded(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): encoded(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [encoded(each) for each in value]
    raise TypeError(f"{type(value).__name__} is no plain data")


def from_plain(of: type[T], plain: Any) -> T:
    """A dataclass from the plain data of its fields, nested ones as well; names that are no fields are left out.

    Raises ValueError, in one sentence, for what is no mapping, for fields that are missing and for a value of another
    type.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"{of.__name__}: {plain!r:.60} is not a mapping of its fields")
    known = fields(of)  # type: ignore[arg-type]  # T is a dataclass
    needed = (item for item in known if item.default is MISSING and item.default_factory is MISSING)
    missing = [item.name for item in needed if item.name not in plain]
    if missing:
        raise ValueError(f"{of.__name__}: without {', '.join(missing)}, which it needs")
    hints = _hints(of)  # type: ignore[arg-type]  # classes are hashable
    given = [item.name for item in known if item.name in plain]
    return of(**{name: _typed(plain[name], hints[name], f"{of.__name__}: {name}") for name in given})


@cache
def _hints(of: type) -> dict[str, Any]:
    return get_type_hints(of)


def _typed(value: Any, hint: Any, name: str) -> Any:
    """A plain value as the type of a field: a list as a tuple, a mapping as a dataclass, a whole number as a float."""
    origin, options = get_origin(hint), get_args(hint)
    if hint is Any or (origin is Literal and value in options):
        return value
    if origin is UnionType and NoneType in options:
        return None if value is None else _typed(value, next(each for each in options if each is not NoneType), name)
    if origin is tuple and isinstance(value, list | tuple):
        types = options[:1] * len(value) if options[-1] is Ellipsis else options
        if len(types) == len(value):
            return tuple(_typed(each, kind, name) for each, kind in zip(value, types, strict=True))
    if origin in (dict, Mapping) and isinstance(value, dict):
        return {each: _typed(found, options[1], f"{name}[{each!r}]") for each, found in value.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value)
    if hint is float and type(value) is int:
        return float(value)
    if hint is float and isinstance(value, str) and value in NOT_FINITE:
        return NOT_FINITE[value]
    if type(value) is hint:
        return value
    raise ValueError(f"{name} is {value!r:.60}; allowed: {_allowed(hint)}")


def _allowed(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(map(repr, get_args(hint)))
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(hint, str(hint).replace("collections.abc.", ""))
