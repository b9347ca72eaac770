"""One thing that is wrong with a result, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pytest_attn.plain import from_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where among the rows of a result something is wrong, and in how many of them."""

    which: Literal["worst", "first", "example"]
    """Whether it is where a statistic is worst, the first place that is wrong, or one of those that were tried."""

    batch: int
    head: int
    rows: tuple[int, int]
    """The first and the last row of the run that is named; the same row twice where it is a single one."""

    count: int | None = None
    """Rows that are wrong or over the limit, of all batches and heads; None where they were not counted."""

    of: int | None = None
    """Rows that were looked at; None where they were not counted."""

    batches: int = 1
    """How many batches the result has."""

    @property
    def share(self) -> str:
        """How many rows of how many, in words: "3 of 128 rows"."""
        return f"{self.count} of {self.of} rows"

    @property
    def words(self) -> str:
        """For a person, e.g. "head 1, rows 896-1023 (3 of 2048 rows over the limit)"."""
        first, last = self.rows
        if self.which == "worst":
            batch = f"batch {self.batch}, " if self.batches > 1 else ""
            rows = f"row {first}" if first == last else f"rows {first}-{last}"
            return f"{batch}head {self.head}, {rows} ({self.share} over the limit)"
        at = f"at batch {self.batch}, head {self.head}, row {first}"
        return f"first {at}" if self.which == "first" else at

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @staticmethod
    def of_dict(plain: Mapping[str, Any]) -> Place:
        """The place of `as_dict()`; fields of a newer version are left out. Raises ValueError for what is none."""
        return from_plain(Place, plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: which statistic or fact, of which tensor, by how much and where."""

    what: str
    """The statistic or the fact: "lse", "out_row_rms", "shape"."""

    tensor: str = ""
    """Of which tensor: out, lse, dq, dk, dv, or an input; empty where it is not of one."""

    words: str
    """What is wrong, with its figures, for a person; without the place."""

    names_tensor: bool = False
    """Whether the words name the tensor themselves, so that it does not stand before them."""

    figure: float | None = None
    """What was measured, unrounded; None where nothing was."""

    limit: float | None = None
    """The most that |figure| may be, or the least that the figure may; None where it has no limit."""

    place: Place | None = None
    """None where it is said of the whole result."""

    rest: str = ""
    """What is said after the place, with the space or comma before it."""

    part: str = ""
    """Of which call, split or relation it is said, outermost first; empty where the case has one result."""

    @property
    def phrase(self) -> str:
        """The whole of it in one phrase for a person."""
        said = self.words
        if self.place is not None:
            said += f"{' ' if self.place.which == 'example' else ', '}{self.place.words}"
        tensor = "" if self.names_tensor else self.tensor
        return ": ".join(filter(None, (self.part, tensor, said + self.rest)))

    def of(self, part: str) -> Finding:
        """The same, said of a part of the case."""
        return replace(self, part=f"{part}: {self.part}" if self.part else part)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a figure may be infinite or NaN."""
        return asdict(self)

    @staticmethod
    def of_dict(plain: Mapping[str, Any]) -> Finding:
        """The finding of `as_dict()`; fields of a newer version are left out. Raises ValueError for what is none."""
        return from_plain(Finding, plain)
