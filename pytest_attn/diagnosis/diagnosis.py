"""What a diagnosis says, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_attn.plain import from_plain
from pytest_attn.problem.kinds import Kind


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a kernel: the kind of bug, and in a person's words with figures what was seen."""

    kind: Kind
    words: str

    alternatives: tuple[str, ...] = ()
    """What gives the same result and is a bug of another kind, in words: the case cannot tell it apart."""

    @property
    def phrase(self) -> str:
        """The words, and after an "or" each alternative."""
        return ", or ".join((self.words, *self.alternatives))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @staticmethod
    def of_dict(plain: Mapping[str, Any]) -> Diagnosis:
        """The diagnosis of `as_dict()`; fields of a newer version are left out. Raises ValueError for what is none."""
        return from_plain(Diagnosis, plain)
