"""The origin of a run: what was asked, of which project in which state, on which machine."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pytest_attn.devices.device import Device
from pytest_attn.devices.machine import device_model, device_unit, key_of, versions
from pytest_attn.options.options import Options
from pytest_attn.problem.axes import AxisFilter
from pytest_attn.problem.case import Case
from pytest_attn.records.run import RunStart, new_id, now


def run_start(options: Options, command: Sequence[str], directory: Path, workers: int = 1) -> RunStart:
    """The first line of a run's document. For an accelerator this imports torch and asks its driver."""
    device = Device(options.device[0])
    here = not device.missing
    commit, dirty = _commit(directory)
    return RunStart(
        id=new_id(),
        started=now(),
        command=tuple(command),
        directory=str(directory),
        options=resolved(options),
        seed=options.seed,
        host=platform.node(),
        machine=key_of(options.device[0]),
        devices=options.device,
        model=device_model(device) if here else "",
        unit=device_unit(device) if here else "",
        versions=versions(device),
        commit=commit,
        dirty=dirty,
        workers=workers,
    )


def resolved(options: Options) -> dict[str, Any]:
    """Every option by name with the value that holds in this run, in the words of the command line."""
    found = {each.name: _words(getattr(options, each.name)) for each in fields(options) if each.name != "given"}
    return found | {"budget": _words(options.budget_gflop), "sweep": [*options.sweeps]}


def _words(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_words(each) for each in value]
    if isinstance(value, AxisFilter):
        return f"{value.axis}=[{','.join(sorted(value.values))}]"
    if isinstance(value, Case):
        return value.id
    return "none" if value == float("inf") else value


def _commit(directory: Path) -> tuple[str, bool]:
    """The commit of the repository that a folder is in, and whether files differ from it; empty where it is in none."""
    head = _git(directory, "rev-parse", "HEAD")
    return (head, bool(_git(directory, "status", "--porcelain"))) if head else ("", False)


def _git(directory: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(directory), *words], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
