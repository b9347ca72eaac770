"""How a refusal names what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def closest(word: str, allowed: Iterable[str]) -> str:
    """The allowed words for a message, the ones most like `word` first, at most eight."""
    words = sorted(allowed)
    near = difflib.get_close_matches(word, words, n=3, cutoff=0.5)
    listed = near + [other for other in words if other not in near]
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")


def cut(words: str, most: int) -> str:
    """Words of at most so many characters, on one line."""
    line = " ".join(words[: 8 * most].split())
    return line if len(line) <= most else f"{line[: most - 4].rstrip()} ..."


def counted(count: int, what: str) -> str:
    """A count with what is counted: "1 cell", "3 cells"."""
    return f"{count} {what}{'s' * (count != 1)}"


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
