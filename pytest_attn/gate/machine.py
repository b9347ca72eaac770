"""The machine that a time belongs to, as a name that stays the same from night to night."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

CPU_WORDS = re.compile(r"\((?:r|tm|c)\)|\bcpu\b|\bprocessor\b|@.*$|\b\d+-core\b", re.IGNORECASE)
"""Parts of a CPU's name that say nothing, or something that changes: marks, the nominal clock, the cores."""


def machine_key(accelerator: str = "", *, cpuinfo: Path = Path("/proc/cpuinfo"), cores: int | None = None) -> str:
    """Lower-case letters, digits and `-`: the accelerator's model, or without one the CPU's model and its cores.

    Driver, torch and Python are no part of it, and no clock reading is: these change while the machine stays.
    `cores` None asks the system. Raises ValueError where `accelerator` is given and has no letter or digit.
    """
    if accelerator:
        return _slug(accelerator, "accelerator")
    count = cores if cores is not None else os.cpu_count() or 1
    return f"{_slug(CPU_WORDS.sub(' ', cpu_model(cpuinfo)), 'CPU model')}-{count}-cores"


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's name as Linux reports it; elsewhere, or where Linux names none, what Python's `platform` knows."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(\S.*)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine() or "unknown"


def _slug(name: str, what: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        raise ValueError(f"{what} {name!r} has no letter or digit to name a machine by")
    return slug
