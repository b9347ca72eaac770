"""The least amount of a defect that each of several judges sees: galloping by powers of two, then bisecting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

PRECISION = 1.05
"""An amount that is no whole number is known to this factor."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """The amounts of a defect that are tried, from the least to the most; whole numbers, or any."""

    least: float
    most: float
    whole: bool = False

    def galloping(self) -> Iterator[float]:
        """The least, doubled until it passes the most, and the most."""
        amount = self.least
        while amount < self.most:
            yield amount
            amount *= 2
        yield self.most

    def between(self, below: float, above: float) -> float | None:
        """The next amount to try between one that is not seen and one that is; None where they are close enough."""
        if self.whole:
            return (below + above) // 2 if above - below > 1 else None
        return math.sqrt(below * above) if above > below * PRECISION else None


def least_seen(
    inject: Callable[[float], Result], sees: Callable[[str, Result], bool], judges: Sequence[str], amounts: Amounts
) -> dict[str, float | None]:
    """By judge the least amount of a defect that it sees, None where it does not see the most.

    The judges share what is injected while galloping. Seeing is taken to grow with the amount.
    """
    found: dict[str, float | None] = dict.fromkeys(judges)
    largest = inject(amounts.most)
    pending = [name for name in judges if sees(name, largest)]
    brackets: dict[str, tuple[float, float]] = {}
    below = 0.0
    for amount in amounts.galloping():
        if not pending:
            break
        injected = largest if amount == amounts.most else inject(amount)
        seen = [name for name in pending if amount == amounts.most or sees(name, injected)]
        brackets.update(dict.fromkeys(seen, (below, amount)))
        pending = [name for name in pending if name not in seen]
        below = amount
    for name, (below, above) in brackets.items():
        # Nothing less than the least amount is tried.
        while below > 0 and (middle := amounts.between(below, above)) is not None:
            below, above = (below, middle) if sees(name, inject(middle)) else (middle, above)
        found[name] = above
    return found
