"""What a kernel declared of itself, as the document of a run tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_attn.plain import encoded, from_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a kernel claims and refuses; one line for each kernel of a run."""

    kernel: str
    """The kernel as the user named it."""

    claims: tuple[str, ...] = ()
    """Every claim that a cell can try, in the words of the field `needs` of records."""

    refuses: tuple[str, ...] = ()
    """The reasons for which it refuses problems within its claims."""

    cells: Mapping[str, int] = field(default_factory=dict)
    """Cells of each sweep that was drawn for these claims."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON and for xdist."""
        plain: dict[str, Any] = encoded(self)
        return plain

    @staticmethod
    def of_dict(plain: Any) -> Declared:
        """The declaration of `as_dict()`. Raises ValueError, one sentence, for what is none."""
        return from_plain(Declared, plain)
