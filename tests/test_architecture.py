"""The rules of ARCHITECTURE.md that a machine can hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pytest_attn"
FILES = sorted(PACKAGE.rglob("*.py"))

RIGHT = ("report", "session", "mutants", "power", "run", "fixtures", "options", "commands")
FORBIDDEN = {
    "problem": ("kernels", "oracles", "judge", "checks", "diagnosis", "bench", "gate", *RIGHT),
    "kernels": ("oracles", "judge", "checks", "diagnosis", "bench", "gate", *RIGHT),
    "oracles": ("kernels", "judge", "checks", "diagnosis", "bench", *RIGHT),
    "judge": ("checks", "diagnosis", "bench", "gate", *RIGHT),
    "checks": ("diagnosis", "bench", "gate", *RIGHT),
    "diagnosis": ("bench", "gate", *RIGHT),
    "bench": ("diagnosis", "gate", *RIGHT),
    "gate": ("kernels", "oracles", "judge", "checks", "diagnosis", "bench", *RIGHT),
    "report": ("kernels", "oracles", "judge", "checks", "diagnosis", "bench", *RIGHT[1:]),
    "mutants": ("bench", "power", "run", "fixtures", "commands"),
}
MAY_IMPORT_PYTEST = {"run.py", "plugin.py", "fixtures.py", "latency.py", "marks.py", "origin.py", "speed_gate.py"}


def imports(path: Path) -> set[str]:
    """The full names of all modules that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def folder(path: Path) -> str:
    """The first folder of a file below the package; empty for a file of the package itself."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_stands_left_of_it(path: Path) -> None:
    for name in imports(path):
        for right in FORBIDDEN.get(folder(path), ()):
            assert not (name + ".").startswith(f"pytest_attn.{right}."), f"{path} imports {name}"


def test_only_their_command_and_the_measure_of_power_import_mutants() -> None:
    others = [path for path in FILES if folder(path) != "mutants"]
    importing = [path for path in others if any(name.startswith("pytest_attn.mutants") for name in imports(path))]
    of_power = [PACKAGE / "power" / f"{name}.py" for name in ("clean", "clean_variants", "gradients")]
    assert importing == [PACKAGE / "commands" / "mutants.py", *of_power]


def test_nothing_imports_the_plugin() -> None:
    assert not [path for path in FILES if "pytest_attn.plugin" in imports(path)]


def test_only_the_doors_import_pytest() -> None:
    importing = {path for path in FILES if "pytest" in imports(path) and folder(path) != "suite"}
    assert {path.name for path in importing} <= MAY_IMPORT_PYTEST


@pytest.mark.parametrize("name", ["gate", "report"])
def test_what_reads_plain_data_imports_no_torch(name: str) -> None:
    assert not [path for path in FILES if folder(path) == name and "torch" in imports(path)]


@pytest.mark.parametrize(
    "module", ["pytest_attn", "pytest_attn.plugin", "pytest_attn.problem.sweeps", "pytest_attn.gate.store"]
)
def test_collecting_needs_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(any(n in sys.modules for n in ('torch', 'matplotlib', 'jinja2')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_at_most_about_300_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 320
