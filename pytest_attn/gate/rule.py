"""The rule that decisions follow: how small an effect matters, and how often an alarm may be false."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_attn.options.defaults import SLOWDOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule for all benchmarks of a run; the floor alone may differ by benchmark."""

    floor: float = SLOWDOWN
    """Changes up to this fraction of the time are nobody's business."""

    suspect_rate: float = 0.2
    """How often unchanged code is measured again, per benchmark and side, where noise sets the bound. It is cheap, and
    a change that is not suspected is never found."""

    suspect_share: float = 0.5
    """Share of the floor beyond which a change is suspected, where noise does not set the bound: one process shows a
    change that just matters as less than it is as often as not."""

    false_alarms: float = 0.01
    """Share of false ones among the changes that are confirmed; where nothing changed, the probability of any."""

    confirmations: int = 3
    """Fresh processes that a suspect is measured by at a time."""

    looks: int = 3
    """So often at most, while the times still spread too far; each look takes its share of `false_alarms`."""

    fewest_confirmations: int = 2
    """Of these, so many must have met a quiet machine."""

    fewest_to_change: int = 5
    """So many quiet ones must have measured what is called slower or faster: three may have met the same clock."""

    fewest_runs: int = 5
    """Fresh processes that a baseline holds at least."""

    roofline: float = 3.0
    """No kernel does more times the FLOP rate of the fastest control, a matmul, than this."""

    collapse: float = 4.0
    """A kernel that takes less than one part in so many of its time is more likely not doing its work."""

    @property
    def alarms_per_look(self) -> float:
        """Share of false alarms of one look."""
        return self.false_alarms / self.looks
