"""A decision: what became of one benchmark's speed, with the figures that it rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pytest_attn.records.benchmark_id import BenchmarkId

Word = Literal["same", "faster", "slower", "inconclusive", "new", "gone", "foreign", "suspicious"]
FORMER = {"noisy": "inconclusive"}
"""Words of earlier documents that have another name now."""

Stage = Literal["", "suspect", "unclear", "confirmed", "not confirmed", "measured again"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One word for one benchmark. Figures are None where nothing could be compared."""

    id: BenchmarkId
    word: Word
    stage: Stage = ""
    """`suspect` where a change was seen and `unclear` where the run could not tell, while fresh processes have not
    measured it again; such is `inconclusive`, never slower."""

    old: float | None = None
    """Seconds per call in the baseline."""

    new: float | None = None
    ratio: float | None = None
    """New over old with the control's movement taken out, so not quite the quotient of the two."""

    interval: tuple[float, float] | None = None
    """99 % interval of the ratio."""

    floor: float
    """The change, a fraction, that matters."""

    smallest_detectable: float | None = None
    """The slowdown, a fraction, that this benchmark would show in four of five runs."""

    reason: str = ""
    """Why, where the figures do not say it; and what else a reader should know."""

    reproduce: str = ""
    tolerated: bool = False
    """Whether a strict gate lets this pass though it is inconclusive, as it was not in enough runs in a row."""

    @property
    def open(self) -> bool:
        """Whether more fresh processes may tell more: a change is not confirmed yet, or the times spread too far."""
        return self.word == "inconclusive" and bool(self.stage)

    @property
    def line(self) -> str:
        """All of it in one line."""
        figures = [f"{seconds(self.old)} -> {seconds(self.new)}"] if self.old or self.new else []
        if self.ratio is not None and self.interval is not None:
            figures.append(f"x {self.ratio:.3f} ({self.interval[0]:.3f} to {self.interval[1]:.3f})")
        figures.append(f"floor {self.floor * 100:.3g}%")
        if self.smallest_detectable is not None:
            figures.append(f"smallest detectable {self.smallest_detectable * 100:.2g}%")
        parts = [f"{self.id}: {self.word}", ", ".join(figures), self.stage, self.reason]
        if self.reproduce:
            parts.append(f"reproduce: {self.reproduce}")
        return "; ".join(part for part in parts if part)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON and for pytest's reports."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "id"}
        return {"case": self.id.case, "kernel": self.id.kernel, **values}

    @classmethod
    def of_dict(cls, plain: Any) -> Decision:
        """The decision of `as_dict()`. Raises ValueError, one sentence, for what is none."""
        texts = ("case", "kernel", "word", "stage", "reason", "reproduce")
        numbers = ("old", "new", "ratio", "smallest_detectable")
        if not isinstance(plain, dict):
            raise ValueError(f"a decision is {type(plain).__name__}, expected an object")
        for name in texts:
            if not isinstance(plain.get(name), str):
                raise ValueError(f"a decision's {name!r} is {plain.get(name)!r}, expected a text")
        word = FORMER.get(plain["word"], plain["word"])
        if word not in get_args(Word):
            raise ValueError(f"unknown word {plain['word']!r}; allowed: {', '.join(get_args(Word))}")
        if not all(plain.get(name) is None or _is_number(plain[name]) for name in numbers):
            raise ValueError(f"a figure of {plain['case']} is no number")
        if not _is_number(plain.get("floor")):
            raise ValueError(f"the floor of {plain['case']} is {plain.get('floor')!r}, expected a fraction")
        interval = plain.get("interval")
        if interval is not None:
            if not isinstance(interval, list | tuple) or len(interval) != 2 or not all(map(_is_number, interval)):
                raise ValueError(f"the interval of {plain['case']} is {interval!r}, expected two numbers")
            interval = (interval[0], interval[1])
        values: dict[str, Any] = {name: plain.get(name) for name in (*texts[2:], *numbers, "floor")} | {"word": word}
        values["tolerated"] = plain.get("tolerated") is True
        return cls(id=BenchmarkId(plain["case"], plain["kernel"]), interval=interval, **values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def seconds(value: float | None) -> str:
    """A time with a unit that suits it; `none` for None."""
    if value is None:
        return "none"
    unit, factor = next((pair for pair in (("s", 1.0), ("ms", 1e3)) if value * pair[1] >= 1), ("us", 1e6))
    return f"{value * factor:.4g} {unit}"
