"""How a refusal names what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: str, allowed: Iterable[str]) -> str:
    """The allowed words for a message, the ones most like `word` first, at most eight."""
    words = sorted(allowed)
    near = difflib.get_close_matches(word, words, n=3, cutoff=0.5)
    listed = near + [other for other in words if other not in near]
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")
