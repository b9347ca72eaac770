"""What other packages offer under a group of entry points."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points


def offered(group: str, noun: str) -> Iterator[object]:
    """What the entry points of a group load, by name. Raises ValueError, one sentence that says what `noun` it should
    have been, where one does not load."""
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            yield entry.load()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{noun} {entry.name!r}: its entry point does not load: {error}") from error
