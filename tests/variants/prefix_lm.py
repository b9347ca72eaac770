"""A variant of another package: a prefix of the keys that every query sees, and a kernel that takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest_attn


@dataclass(frozen=True)
class PrefixLM(pytest_attn.Variant):
    """Query i sees the first `length` keys, and keys j <= i + Skv - Sq. Keyword `prefix_length`."""

    capability: ClassVar = "prefix_length"
    pattern: ClassVar = r"prefix(\d+)"
    absent: ClassVar = {"prefix_length": None}

    length: int = 16

    @property
    def token(self) -> str:
        return f"prefix{self.length}"

    @classmethod
    def of_token(cls, groups: tuple[str, ...]) -> PrefixLM:
        return cls(int(groups[0]))

    def refuse(self, case: pytest_attn.Case) -> None:
        if case.causal is not None:
            raise ValueError("case: prefix_length is a mask of its own; allowed: without causal")

    def hides(self, case: pytest_attn.Case) -> bool:
        return case.query_length > 1 and self.length < case.key_length

    def mask(self, case: pytest_attn.Case) -> Any:
        from pytest_attn.problem.masks import Pairs

        return Pairs(f"prefix-{self.length}", lambda i, j, n: (j < self.length) | (j <= i + n.key - n.query))

    def keywords(self, problem: pytest_attn.Problem, extras: Mapping[str, Any]) -> dict[str, Any]:
        return {"prefix_length": self.length}


def attention(query: Any, key: Any, value: Any, scale: float, prefix_length: int | None, off: int = 0) -> Any:
    """Attention with a prefix that is `off` keys too long."""
    import torch

    scores = query.float() @ key.float().mT * scale
    if prefix_length is not None:
        hidden = torch.ones_like(scores[0, 0], dtype=torch.bool).triu(key.shape[2] - query.shape[2] + 1)
        hidden[:, : prefix_length + off] = False
        scores = scores.masked_fill(hidden, -torch.inf)
    return (scores.softmax(dim=3) @ value.float()).to(query.dtype)
