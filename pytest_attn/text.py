"""How a refusal names what is allowed, or what plain data lacks."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def closest(word: str, allowed: Iterable[str]) -> str:
    """The allowed words for a message, the ones most like `word` first, at most eight."""
    words = sorted(allowed)
    near = difflib.get_close_matches(word, words, n=3, cutoff=0.5)
    listed = near + [other for other in words if other not in near]
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")


def names_unknown_fields(of: type[T]) -> type[T]:
    """A dataclass whose constructor raises ValueError for a keyword that is no field, naming the closest that are."""
    accept = of.__init__

    @wraps(accept)
    def refuse_or_accept(self: T, *values: Any, **given: Any) -> None:
        names = [item.name for item in fields(of)]  # type: ignore[arg-type]  # T is a dataclass
        for name in given:
            if name not in names:
                raise ValueError(f"{of.__name__}: unknown field {name!r}; allowed: {closest(name, names)}")
        accept(self, *values, **given)

    of.__init__ = refuse_or_accept  # type: ignore[assignment, method-assign]
    return of


def from_plain(of: type[T], plain: Any) -> T:
    """A dataclass from the plain data of its fields, nested ones as well; names that are no fields are left out.

    Raises ValueError, in one sentence, for what is no mapping, for fields that are missing and for a value of another
    type.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"{of.__name__}: {plain!r} is not a mapping of its fields")
    known = fields(of)  # type: ignore[arg-type]  # T is a dataclass
    needed = (item for item in known if item.default is MISSING and item.default_factory is MISSING)
    missing = [item.name for item in needed if item.name not in plain]
    if missing:
        raise ValueError(f"{of.__name__}: without {', '.join(missing)}, which it needs")
    hints = get_type_hints(of)
    given = [item.name for item in known if item.name in plain]
    return of(**{name: _typed(plain[name], hints[name], f"{of.__name__}: {name}") for name in given})


def _typed(value: Any, hint: Any, name: str) -> Any:
    """A plain value as the type of a field: a list as a tuple, a mapping as a dataclass, a whole number as a float."""
    origin, options = get_origin(hint), get_args(hint)
    if origin is UnionType and NoneType in options:
        return None if value is None else _typed(value, next(each for each in options if each is not NoneType), name)
    if origin is Literal and value in options:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        types = options[:1] * len(value) if options[-1] is Ellipsis else options
        if len(types) == len(value):
            return tuple(_typed(each, kind, name) for each, kind in zip(value, types, strict=True))
    if is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    allowed = ", ".join(map(repr, options)) if origin is Literal else getattr(hint, "__name__", str(hint))
    raise ValueError(f"{name} is {value!r}; allowed: {allowed if origin is not tuple else hint}")
