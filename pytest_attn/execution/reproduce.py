"""The command that judges one case alone."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from pytest_attn.devices.device import Device
from pytest_attn.execution.surroundings import Surroundings
from pytest_attn.kernels.naming import why_lost
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.pairs import flops


def reproduce(spec: str, case: Case, options: Options, device: Device, requirement: str = "") -> str:
    """The command that judges one case alone, from any directory; or why there is none, in words.

    `requirement` is the word of `--attn-require` that makes a failure of a case that does not run, under the same
    budget.
    """
    around = Surroundings.of(spec, case)
    if lost := why_lost(around.spec) or around.lost:
        return lost
    found = shutil.which("python")
    python = "python" if found and Path(found).resolve() == Path(sys.executable).resolve() else sys.executable
    words = [python, "-m", "pytest", *around.plugins, "--pyargs", "pytest_attn.suite.test_case"]
    words += [f"--attn-kernel={around.spec}", f"--attn-case={case.id}", f"--attn-seed={options.seed}"]
    if device.type != "cpu":
        words.append(f"--attn-device={device.name}")
    if options.tolerance != Options().tolerance:
        words.append(f"--attn-tolerance={options.tolerance}")
    if options.overclaim:
        words.append("--attn-overclaim")
    if requirement:
        words.append(f"--attn-require={requirement}")
        if options.budget is not None:
            words.append(f"--attn-budget={options.budget!r}")
    elif flops(case) > Options().budget_gflop * 1e9:
        words.append("--attn-budget=none")
    here = f"cd {shlex.quote(str(around.directory))} && " if around.directory else ""
    return here + _on_the_path(around.folders) + shlex.join(words)


def _on_the_path(folders: tuple[Path, ...]) -> str:
    """The assignment that puts folders on the path of Python, before those that are there."""
    if not folders:
        return ""
    joined = shlex.quote(os.pathsep.join(map(str, folders)))
    return f'PYTHONPATH={joined}"${{PYTHONPATH:+{os.pathsep}$PYTHONPATH}}" '
