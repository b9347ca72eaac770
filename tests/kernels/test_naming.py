"""The name by which a kernel is found again, and what is said where there is none."""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pytest_attn
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.naming import spec_of, why_lost
from pytest_attn.kernels.resolve import find_kernel

HERE = str(Path(__file__).absolute())
SOURCE = """
import pytest_attn

def plain(query, key, value, scale): ...

@pytest_attn.kernel(lse=True)
def declared(query, key, value, *, scale, return_lse): ...

class Prepared:
    def prepare(self, problem, inputs): ...

    @staticmethod
    def inner(query, key, value, scale): ...

another = pytest_attn.kernel()(plain)
unnamed = lambda query, key, value: None
"""


def attend(query: Any, key: Any, value: Any) -> Any: ...


@pytest_attn.kernel()
def declared(query: Any, key: Any, value: Any, *, scale: float) -> Any: ...


PARTIAL = functools.partial(attend, value=None)


class Callable:
    def __call__(self, query: Any, key: Any, value: Any) -> Any: ...


OBJECT = Callable()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module in a package."""
    (tmp_path / "attention_package").mkdir()
    (tmp_path / "attention_package" / "__init__.py").write_text("")
    (tmp_path / "attention_package" / "kernels.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("attention_package", "attention_package.kernels"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("attention_package.kernels")


@pytest.mark.parametrize(
    ("target", "name"), [(attend, "attend"), (declared, "declared"), (PARTIAL, "PARTIAL"), (OBJECT, "OBJECT")]
)
def test_what_a_file_defines_is_named_by_the_file(target: Any, name: str) -> None:
    assert spec_of(target) == f"{HERE}:{name}"


@pytest.mark.parametrize("name", ["plain", "declared", "Prepared", "Prepared.inner", "another", "unnamed"])
def test_what_a_package_defines_is_named_by_its_module(package: ModuleType, name: str) -> None:
    target: Any = package
    for part in name.split("."):
        target = getattr(target, part)
    spec = spec_of(target)
    assert spec == f"attention_package.kernels:{name}"
    assert why_lost(spec) == ""


def test_the_name_finds_the_same_kernel(package: ModuleType) -> None:
    found, declared = find_kernel(spec_of(package.another)), package.another
    assert (found.implementation, found.capabilities) == (declared.implementation, declared.capabilities)


def lost(target: Any) -> str:
    return why_lost(spec_of(target))


def test_a_closure_says_where_it_is() -> None:
    def inner(query: Any, key: Any, value: Any) -> Any: ...

    says = "inner is defined inside test_a_closure_says_where_it_is; no command can find it again"
    assert lost(inner) == lost(pytest_attn.kernel()(inner)) == says


def test_a_lambda_without_a_name_says_so() -> None:
    assert lost(lambda query, key, value: None) == f"it is a lambda of {__name__}; no command can find it again"


def test_a_kernel_that_no_name_holds_is_not_taken_for_the_function_that_it_is_made_of() -> None:
    other: Kernel = pytest_attn.kernel(lse=True)(attend)
    assert lost(other) == f"attend is declared under no name of {__name__}; no command can find it again"


def test_a_notebook_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = ModuleType("__main__")
    exec("def my_flash(query, key, value): ...", vars(notebook))
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    assert spec_of(notebook.my_flash) == "__main__:my_flash"
    assert lost(notebook.my_flash) == "my_flash is defined in __main__; no command can find it again"


def test_a_script_is_named_by_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = ModuleType("__main__")
    script.__file__ = str(tmp_path / "script.py")
    exec("def my_flash(query, key, value): ...", vars(script))
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert spec_of(script.my_flash) == f"{tmp_path}/script.py:my_flash"


@pytest.mark.parametrize("spec", ["eager", "mine:attend", "/home/flash.py:my_flash", "package.module:Class.attend"])
def test_a_name_that_a_user_wrote_is_found(spec: str) -> None:
    assert why_lost(spec) == ""
