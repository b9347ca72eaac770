"""The line that reproduces a failed cell runs as it is printed, from any directory."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pytest_attn
from pytest_attn.devices.device import Device
from pytest_attn.execution.reproduce import reproduce
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.records.record import Record

CASE = "b1-h1-s8-d8-float32-out-exact"
KERNEL = """
import pytest_attn

def wrong(query, key, value, scale):
    return value + 1
"""
VARIANT = """
from dataclasses import dataclass
from typing import ClassVar

import pytest_attn


@pytest_attn.register_variant
@dataclass(frozen=True)
class {name}(pytest_attn.Variant):
    capability: ClassVar[str] = "{capability}"
    pattern: ClassVar[str] = "{capability}"

    @property
    def token(self):
        return "{capability}"

    def keywords(self, problem, extras):
        return {{"{capability}": True}}
"""
CLAIMING = """
@pytest_attn.kernel({capability}=True)
def wrong(query, key, value, *, scale, {capability}=False):
    return value + 1
"""
DTYPE = """
import pytest_attn

pytest_attn.register_dtype(pytest_attn.DataType(name="float8e5m2", torch="float8_e5m2", item_bytes=1))
"""
CHECK = """
if __name__ == "__main__":
    [record] = pytest_attn.check_kernel(wrong, case={case!r})
    print(record.message)
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs a printed line from another directory, without the path that this process has."""

    def run(line: str) -> str:
        found = subprocess.run(
            line, shell=True, cwd=tmp_path_factory.mktemp("elsewhere"), env=ours(), capture_output=True, text=True
        )
        return found.stdout + found.stderr

    return run


def ours() -> dict[str, str]:
    """The environment without what tells pytest that it runs inside another, in which this package is found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return kept | {"PYTHONPATH": str(Path(pytest_attn.__file__).parents[1])}


def printed(output: str) -> str:
    """The first reproduce line."""
    return next(line for line in output.splitlines() if line.startswith("reproduce: ")).removeprefix("reproduce: ")


def imported(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def fails_again(output: str) -> bool:
    return "| failed 1 |" in output


def record_of(kernel: Any, case: str = CASE) -> Record:
    [record] = pytest_attn.check_kernel(kernel, case=case)
    assert record.outcome == "failed"
    return record


def test_a_function_of_a_file_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    (tmp_path / "kernel_of_a_file.py").write_text(KERNEL)
    record = record_of(imported("kernel_of_a_file", tmp_path, monkeypatch).wrong)
    assert record.kernel == f"{tmp_path}/kernel_of_a_file.py:wrong"
    assert fails_again(run(record.reproduce))


def test_a_function_of_a_package_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    (tmp_path / "package_of_a_kernel").mkdir()
    (tmp_path / "package_of_a_kernel" / "__init__.py").write_text("")
    (tmp_path / "package_of_a_kernel" / "beside.py").write_text("")
    (tmp_path / "package_of_a_kernel" / "attend.py").write_text("from . import beside\n" + KERNEL)
    record = record_of(imported("package_of_a_kernel.attend", tmp_path, monkeypatch).wrong)
    assert record.kernel == "package_of_a_kernel.attend:wrong"
    assert fails_again(run(record.reproduce))


def test_a_function_of_a_script_is_found_again(tmp_path: Path, run: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(KERNEL + CHECK.format(case=CASE))
    output = run(f"{sys.executable} {script}")
    assert f"--attn-kernel={script}:wrong" in output
    assert fails_again(run(printed(output)))


def test_a_script_may_register_the_variant(tmp_path: Path, run: Any) -> None:
    script = tmp_path / "script_of_a_variant.py"
    source = VARIANT.format(name="Scripted", capability="scripted") + CLAIMING.format(capability="scripted")
    script.write_text(source + CHECK.format(case="b1-h1-s8-d8-float32-scripted-out-exact"))
    output = run(f"{sys.executable} {script}")
    assert fails_again(run(printed(output)))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose kernel claims a variant that its tests' conftest registers."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests" / "conftest.py").write_text(VARIANT.format(name="Known", capability="known"))
    (tmp_path / "kernel.py").write_text("import pytest_attn\n" + CLAIMING.format(capability="known"))
    return tmp_path


@pytest.mark.parametrize("kernel", ["kernel.py:wrong", "kernel:wrong"])
def test_a_variant_of_a_conftest_is_known_again(project: Path, run: Any, kernel: str) -> None:
    case = "--attn-case=b1-h1-s8-d8-float32-known-out-exact"
    output = run(
        f"cd {project} && {sys.executable} -m pytest -rs --pyargs pytest_attn.suite.test_case "
        f"{case} --attn-kernel={kernel}"
    )
    assert fails_again(output), output
    line = printed(output)
    assert line.startswith(f"cd {project}/tests && ")
    assert fails_again(run(line))


def test_a_data_type_of_a_conftest_is_known_again(project: Path, run: Any) -> None:
    (project / "tests" / "conftest.py").write_text(DTYPE)
    (project / "kernel.py").write_text(KERNEL.replace("def ", '@pytest_attn.kernel(dtypes="float8e5m2")\ndef '))
    words = "-m pytest --pyargs pytest_attn.suite.test_case --attn-case=b1-h1-s8-d8-float8e5m2-out-exact"
    output = run(f"cd {project} && {sys.executable} {words} --attn-kernel=kernel.py:wrong")
    assert fails_again(run(printed(output)))


def test_a_variant_of_a_module_is_known_again(tmp_path: Path, run: Any) -> None:
    (tmp_path / "variants").mkdir()
    (tmp_path / "variants" / "my_variants.py").write_text(VARIANT.format(name="Own", capability="own"))
    (tmp_path / "kernel.py").write_text("import my_variants, pytest_attn\n" + CLAIMING.format(capability="own"))
    path = os.pathsep.join([str(tmp_path / "variants"), ours()["PYTHONPATH"]])
    words = "-m pytest -p my_variants --pyargs pytest_attn.suite.test_case --attn-kernel=kernel.py:wrong"
    case = "--attn-case=b1-h1-s8-d8-float32-own-out-exact"
    line = printed(run(f"cd {tmp_path} && PYTHONPATH={path} {sys.executable} {words} {case}"))
    assert f"PYTHONPATH={tmp_path}/variants" in line
    assert " -p my_variants " in line
    assert fails_again(run(line))


def test_what_no_command_finds_says_so_in_its_place() -> None:
    def inner(query: Any, key: Any, value: Any, scale: float) -> Any:
        return value + 1

    says = "inner is defined inside test_what_no_command_finds_says_so_in_its_place; no command can find it again"
    assert record_of(inner).message.endswith(f"\nreproduce: {says}")


def test_what_is_built_in_needs_nothing() -> None:
    case = Case.parse("b1-h1-s8-d8-float32-softcap30-out-exact")
    line = reproduce("eager", case, Options(), Device("cpu"))
    assert line.partition(" -m ")[2].startswith("pytest --pyargs pytest_attn.suite.test_case --attn-kernel=eager ")
    assert "PYTHONPATH" not in line
