"""Plain data read strictly: each reader names the field and what it holds where it is not what belongs there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class Fields:
    """The fields of one JSON object. Every reader raises ValueError, one sentence that names the field."""

    def __init__(self, plain: Any, what: str) -> None:
        if not isinstance(plain, Mapping):
            raise ValueError(f"{what} is {type(plain).__name__}, expected an object")
        self._plain = plain
        self._what = what

    def __contains__(self, name: str) -> bool:
        return self._plain.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A text; `default` where the field is absent, which may not be where that is None."""
        return self._typed(name, str, "a text", default)

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        return self._typed(name, int, "a whole number", default)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """True or False."""
        return self._typed(name, bool, "true or false", default)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty where the field is absent."""
        values = self._plain.get(name, [])
        if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
            self._refuse(name, "a list of texts")
        return tuple(values)

    def mapping(self, name: str) -> dict[str, Any]:
        """An object; empty where the field is absent."""
        value = self._plain.get(name, {})
        if not isinstance(value, dict):
            self._refuse(name, "an object")
        return dict(value)

    def each(self, name: str, read: Callable[[Any], T]) -> tuple[T, ...]:
        """A list, each element read; empty where the field is absent."""
        values = self._plain.get(name, [])
        if not isinstance(values, list | tuple):
            self._refuse(name, "a list")
        return tuple(read(value) for value in values)

    def maybe(self, name: str, read: Callable[[Any], T]) -> T | None:
        """A field read; None where it is absent or null."""
        value = self._plain.get(name)
        if value is None:
            return None
        try:
            return read(value)
        except ValueError as error:
            raise ValueError(f"{self._what}: {name!r}: {error}") from None

    def word(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the words allowed."""
        found = self.text(name)
        if found not in allowed:
            raise ValueError(f"unknown {name} {found!r}; allowed: {', '.join(allowed)}")
        return found

    def _typed(self, name: str, kind: type[T], words: str, default: T | None) -> T:
        value = self._plain.get(name)
        if value is None and default is not None:
            return default
        # Booleans are whole numbers to Python.
        if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
            return value
        self._refuse(name, words)

    def _refuse(self, name: str, words: str) -> NoReturn:
        raise ValueError(f"{self._what}: {name!r} is {self._plain.get(name)!r:.60}, expected {words}")
