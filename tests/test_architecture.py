"""The rules of ARCHITECTURE.md that a machine can hold. Each names all offenders at once."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pytest_attn"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 320

COMPUTED = {"problem", "devices", "kernels", "oracles", "judge", "checks"}
ALLOWED: dict[str, set[str]] = {
    "problem": set(),
    "devices": set(),
    "kernels": {"problem", "devices"},
    "oracles": {"problem", "devices"},
    "judge": {"problem", "devices", "kernels", "oracles"},
    "checks": {"problem", "devices", "kernels", "oracles", "judge"},
    "diagnosis": COMPUTED,
    "bench": COMPUTED,
    "records": {"problem", "judge", "diagnosis", "bench"},
    "options": {"problem", "judge"},
    "execution": {*COMPUTED, "diagnosis", "bench", "records", "options"},
    "gate": {"records", "bench", "options"},
    "report": {"problem", "records", "gate"},
    "published": {*COMPUTED, "bench", "records", "options", "execution", "report"},
    "selfcheck": {*COMPUTED, "diagnosis", "records", "options", "execution", "report"},
    "plugin": {*COMPUTED, "bench", "records", "options", "execution", "gate", "report"},
    "suite": {"plugin"},
    "commands": {"problem", "devices", "records", "options", "execution", "gate", "report", "published", "selfcheck"},
}
"""What each folder may import beside itself and `text.py`; folders stand in the order in which data flows."""

PAGE = PACKAGE.parent / "ARCHITECTURE.md"

WITHOUT_TORCH = (
    "pytest_attn",
    "pytest_attn.plugin",
    "pytest_attn.problem.sweeps",
    "pytest_attn.records.record",
    "pytest_attn.gate.store",
    "pytest_attn.report.markdown",
)


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


def imported_folders(path: Path) -> set[str]:
    """The folders of the package that a file imports from."""
    parts = [name.split(".") for name in imports(path)]
    return {words[1] for words in parts if words[0] == "pytest_attn" and len(words) > 1 and words[1] in ALLOWED}


def named(path: Path) -> str:
    """How an offender is named."""
    return str(path.relative_to(PACKAGE))


def test_every_folder_has_a_rule() -> None:
    assert {folder(path) for path in FILES} - {""} == set(ALLOWED)


def import_table() -> str:
    """`ALLOWED` as the page has it."""
    allowed = {name: " ".join(f"`{each}/`" for each in ALLOWED if each in others) for name, others in ALLOWED.items()}
    rows = (f"| `{name}/` | {others or 'nothing'} |" for name, others in allowed.items())
    return "\n".join(("| folder | may import |", "|---|---|", *rows))


def test_the_page_has_the_rules_of_imports() -> None:
    assert f"\n{import_table()}\n" in PAGE.read_text(encoding="utf-8")


def test_the_picture_has_every_folder_in_order() -> None:
    picture = PAGE.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    assert re.findall(r"^(\w+)/ ", picture, re.MULTILINE) == [*ALLOWED]


def test_a_file_imports_only_what_its_folder_may() -> None:
    offenders = {
        named(path): forbidden
        for path in FILES
        if folder(path) and (forbidden := imported_folders(path) - ALLOWED[folder(path)] - {folder(path)})
    }
    assert offenders == {}


def test_only_the_plugin_and_the_packaged_tests_import_pytest() -> None:
    importing = [path for path in FILES if "pytest" in imports(path)]
    assert [named(path) for path in importing if folder(path) not in ("plugin", "suite")] == []


def test_only_their_command_and_the_measure_of_power_import_mutants() -> None:
    importing = [
        named(path)
        for path in FILES
        if not named(path).startswith("selfcheck/mutants")
        and any(name.startswith("pytest_attn.selfcheck.mutants") for name in imports(path))
    ]
    of_power = [f"selfcheck/power/{name}.py" for name in ("clean", "clean_variants", "gradients")]
    assert importing == ["commands/mutants.py", *of_power]


def test_a_case_knows_neither_its_problem_nor_masks() -> None:
    heavy = ("pytest_attn.problem.problem", "pytest_attn.problem.masks", "pytest_attn.problem.pairs")
    assert [name for name in imports(PACKAGE / "problem" / "case.py") if name.startswith(heavy)] == []


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_what_reads_plain_data_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(any(n in sys.modules for n in ('torch', 'matplotlib', 'jinja2')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_is_at_most_about_300_lines() -> None:
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
