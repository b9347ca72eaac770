"""A run as its document tells it: the line that begins it, and the line that ends it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pytest_attn.plain import encoded, from_plain


def now() -> str:
    """The time, ISO 8601 with an offset."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_id() -> str:
    """A token that no other run has."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """What was asked of a run, of what, and on which machine."""

    id: str
    """A token that no other run has."""

    started: str
    """ISO 8601 with an offset."""

    command: tuple[str, ...] = ()
    """The words of the command line."""

    directory: str = ""
    """The root directory of the user's project."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Every option of ours as it was resolved, by name, in the words of the command line."""

    seed: int = 42
    host: str = ""
    machine: str = ""
    """The machine key, which baselines go by."""

    devices: tuple[str, ...] = ()
    """Names of the devices, such as `cuda:0`."""

    model: str = ""
    """The model of the first device."""

    unit: str = ""
    """The first device itself, its UUID or PCI address; empty where there is none, as for a CPU."""

    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python, torch, this package, the driver and what else a kernel runs on, by name."""

    commit: str = ""
    """The git commit of the user's project; empty where that is no git repository."""

    dirty: bool = False
    """Whether files of it differed from that commit."""

    workers: int = 1
    """Processes that judged cells."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain: dict[str, Any] = encoded(self)
        return plain

    @staticmethod
    def of_dict(plain: Any) -> RunStart:
        """The start of `as_dict()`. Raises ValueError, one sentence, for what is none."""
        return from_plain(RunStart, plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended. A document without it is one of a run that was killed."""

    ended: str
    """ISO 8601 with an offset."""

    complete: bool
    """Whether the run came to its end: nobody stopped it, and everything that it selected was run."""

    status: int
    """Exit status of pytest; of `check_kernel`, 1 where a cell failed, else 0."""

    everything: bool = False
    """Whether every cell was selected: no word of `-k`, no filter, no single test."""

    failed: int = 0
    """Tests that failed, of any kind."""

    faults: tuple[str, ...] = ()
    """Why the run is not green even where its cells are, a sentence each."""

    gate: str = ""
    """How speed was compared: `report`, `strict`; empty where it was not."""

    gate_faults: tuple[str, ...] = ()
    """What is wrong with the run as a whole as far as speed goes, a sentence each; a strict gate fails on any."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain: dict[str, Any] = encoded(self)
        return plain

    @staticmethod
    def of_dict(plain: Any) -> RunEnd:
        """The end of `as_dict()`. Raises ValueError, one sentence, for what is none."""
        return from_plain(RunEnd, plain)
