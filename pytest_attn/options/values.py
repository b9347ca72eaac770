"""From the texts that a user gave for an option to its value; each raises ValueError saying what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, get_args

from pytest_attn.judge.verdict.tolerances import refuse_unknown_tolerance
from pytest_attn.options.defaults import SHRINK_SECONDS
from pytest_attn.problem.sweep import refuse_unknown_sweep

DEVICES = re.compile(r"(cpu|cuda(:\d+)?|npu(:\d+)?)")
PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(%?)")
COUNT = re.compile(r"[0-9]{1,18}")
REQUIREMENTS = ("here", "claimed")
GateMode = Literal["off", "report", "strict"]
GATE_MODES: tuple[str, ...] = get_args(GateMode)


def listed(texts: Sequence[str]) -> tuple[str, ...]:
    """The parts of texts with commas."""
    return tuple(part.strip() for text in texts for part in text.split(","))


def read_devices(texts: Sequence[str]) -> tuple[str, ...]:
    """Names of devices."""
    devices = listed(texts[-1:])
    for device in devices:
        if not DEVICES.fullmatch(device):
            raise ValueError(f"unknown device {device!r}; allowed: cpu, cuda, cuda:N, npu, npu:N, several with commas")
    return devices


def read_sweeps(texts: Sequence[str]) -> tuple[str, ...]:
    """Names of sweeps that exist."""
    names = listed(texts)
    for name in names:
        refuse_unknown_sweep(name)
    return names


def read_seed(texts: Sequence[str]) -> int:
    """A whole number that torch's generators take."""
    try:
        seed = int(texts[-1])
    except ValueError:
        raise ValueError(f"{texts[-1]!r:.60} is no seed; allowed: a whole number") from None
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"{texts[-1]!r:.60} is no seed; allowed: a whole number, -2^63 to 2^64 - 1")
    return seed


def read_budget(texts: Sequence[str]) -> float:
    """GFLOP, infinite for `none`."""
    text = texts[-1]
    if text == "none":
        return float("inf")
    try:
        budget = float(text)
    except ValueError:
        budget = float("nan")
    if not budget > 0:
        raise ValueError(f"{text!r} is no budget; allowed: GFLOP per case, a number above 0, or none")
    return budget


def read_shrink(texts: Sequence[str]) -> float:
    """Seconds; 0: no cell is shrunk."""
    try:
        seconds = float(texts[-1])
    except ValueError:
        seconds = float("nan")
    if not seconds >= 0:
        raise ValueError(
            f"{texts[-1]!r} is no time; allowed: seconds, 0 for not at all, as in --attn-shrink={SHRINK_SECONDS}"
        )
    return seconds


def read_tolerance(texts: Sequence[str]) -> str:
    """The name of a tolerance."""
    refuse_unknown_tolerance(texts[-1])
    return texts[-1]


def read_gate(texts: Sequence[str]) -> str:
    """A mode of the gate."""
    if texts[-1] not in GATE_MODES:
        raise ValueError(f"unknown mode {texts[-1]!r}; allowed: {', '.join(GATE_MODES)}")
    return texts[-1]


def read_inconclusive(texts: Sequence[str]) -> int:
    """A number of runs."""
    text = texts[-1].strip()
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ValueError(f"{texts[-1]!r} is no number of runs; allowed: a whole number from 1")
    return int(text)


def read_requirements(texts: Sequence[str]) -> tuple[str, ...]:
    """What `--attn-require` may ask for."""
    items = listed(texts)
    for item in items:
        if item not in REQUIREMENTS and not COUNT.fullmatch(item):
            raise ValueError(
                f"unknown requirement {item!r:.60}; allowed: {', '.join(REQUIREMENTS)}, or a number of cells"
            )
    return items


def read_cache(texts: Sequence[str]) -> str:
    """`on`, `off` or a path."""
    text = read_text(texts)
    return text.lower() if text.lower() in ("on", "off") else text


def read_text(texts: Sequence[str]) -> str:
    """Any text but the empty one."""
    if not texts[-1]:
        raise ValueError("empty; allowed: a path")
    return texts[-1]


def read_yes(texts: Sequence[str]) -> bool:
    """Yes or no."""
    if texts[-1] not in ("yes", "no"):
        raise ValueError(f"{texts[-1]!r}; allowed: yes, no")
    return texts[-1] == "yes"


def parse_slowdown(text: str) -> float:
    """The fraction in `5%`, `2.5%` or `0.05`. Raises ValueError for anything else, and outside 0.1 % to 100 %."""
    allowed = "allowed: 0.1% to 100%, as 5%, 2.5% or 0.05"
    found = PERCENTAGE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no percentage; {allowed}")
    if not found[2] and float(found[1]) >= 1:
        raise ValueError(f"{text!r} lacks its percent sign; {allowed}")
    fraction = float(found[1]) / 100 if found[2] else float(found[1])
    if not (math.isfinite(fraction) and 0.001 <= fraction <= 1):
        raise ValueError(f"{text!r} is out of range; {allowed}")
    return fraction
