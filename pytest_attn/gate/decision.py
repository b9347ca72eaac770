"""A decision: what became of one benchmark's speed, with the figures that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pytest_attn.gate.run_file import BenchmarkId

Word = Literal["same", "faster", "slower", "noisy", "new", "gone", "foreign", "suspicious"]
Stage = Literal["", "suspect", "restless", "confirmed", "not confirmed", "measured again"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One word for one benchmark. Figures are None where nothing could be compared."""

    id: BenchmarkId
    word: Word
    stage: Stage = ""
    """`suspect` where a change was seen and `restless` where the run could not tell, while fresh processes have not
    measured it again; such is `noisy`, never slower."""

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
    """The slowdown, a fraction, that this benchmark would show in four of five nights."""

    reason: str = ""
    """Why, where the figures do not say it; and what else a reader should know."""

    reproduce: str = ""

    @property
    def open(self) -> bool:
        """Whether more fresh processes may tell more: a change is not confirmed yet, or the times spread too far."""
        return self.word == "noisy" and bool(self.stage)

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


def seconds(value: float | None) -> str:
    """A time with a unit that suits it; `none` for None."""
    if value is None:
        return "none"
    unit, factor = next((pair for pair in (("s", 1.0), ("ms", 1e3)) if value * pair[1] >= 1), ("us", 1e6))
    return f"{value * factor:.4g} {unit}"
