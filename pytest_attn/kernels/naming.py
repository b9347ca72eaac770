"""From a kernel to the name that finds it again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_attn.kernels.adapters import FunctionKernel
from pytest_attn.kernels.kernel import Kernel

INTERACTIVE = "__main__"


def spec_of(target: Any) -> str:
    """`path/file.py:attribute` or `module:attribute` of a kernel, a function, a class or an object: what `find_kernel`
    takes and finds the same thing by.

    Where nothing finds it, as in a notebook or inside a function, the name says where it is; see `why_lost`.
    """
    author = _written_by_its_author(target)
    home = str(getattr(author, "__module__", None) or type(author).__module__)
    qualname = str(getattr(author, "__qualname__", type(author).__qualname__))
    for module, attribute in _places(target, home, qualname):
        found = _text(module, attribute)
        if found:
            return found
    return f"{home}:{qualname}" if home == INTERACTIVE or "<" in qualname else f"{home}:<{qualname}>"


def why_lost(spec: str) -> str:
    """Why no command finds a kernel by its name, in words; empty where one does."""
    module, _, attribute = spec.rpartition(":")
    outer, inside, name = attribute.rpartition(".<locals>.")
    if inside and name != "<lambda>":
        why = f"{name} is defined inside {outer}"
    elif attribute.endswith("<lambda>"):
        why = f"it is a lambda of {module}"
    elif attribute.startswith("<"):
        why = f"{attribute[1:-1]} is declared under no name of {module}"
    elif module == INTERACTIVE:
        why = f"{attribute} is defined in {module}"
    else:
        return ""
    return f"{why}; no command can find it again"


def import_root(module: str, file: Path) -> Path:
    """The folder that has to be on the path for a module, which a file defines, to be imported by its name."""
    return file.parents[module.count(".") + (file.name == "__init__.py")]


def _written_by_its_author(target: Any) -> Any:
    """The function, class or object in which a kernel is written."""
    if not isinstance(target, Kernel):
        return target
    implementation = target.implementation
    return implementation.function if isinstance(implementation, FunctionKernel) else type(implementation)


def _places(target: Any, home: str, qualname: str) -> Iterator[tuple[ModuleType, str]]:
    """Where the very object is found by name: where its author defined it, else under any name, there or elsewhere."""
    own = sys.modules.get(home)
    if own is not None and _resolved(own, qualname) is target:
        yield own, qualname
    others = [module for name, module in list(sys.modules.items()) if name not in (home, INTERACTIVE)]
    for module in (own, *others, sys.modules.get(INTERACTIVE)):
        if isinstance(module, ModuleType):
            yield from ((module, name) for name, value in list(vars(module).items()) if value is target)


def _resolved(module: ModuleType | None, attribute: str) -> Any:
    target: Any = module
    for part in attribute.split("."):
        target = getattr(target, part, None)
    return target


def _text(module: ModuleType, attribute: str) -> str | None:
    """The name of an attribute of a module; None where no process can import that again."""
    name, file = module.__name__, getattr(module, "__file__", None)
    if name == INTERACTIVE and module.__spec__ is not None:
        name = module.__spec__.name  # python -m
    if file and file.endswith(".py") and "." not in name and not hasattr(module, "__path__"):
        return f"{Path(file).absolute()}:{attribute}"
    return None if name == INTERACTIVE else f"{name}:{attribute}"
