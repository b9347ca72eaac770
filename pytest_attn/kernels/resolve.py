"""From the name that a user gives to the kernel itself."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_attn.contained import Contained, message, original, said
from pytest_attn.kernels.kernel import Kernel, as_kernel
from pytest_attn.text import closest

BUILT_IN = {
    "eager": "pytest_attn.kernels.builtin.eager:eager",
    "sdpa": "pytest_attn.kernels.builtin.sdpa:sdpa",
    "block_sparse": "pytest_attn.kernels.builtin.block_sparse:BLOCK_SPARSE",
    "naive": "pytest_attn.kernels.builtin.naive:naive",
    "flash_v1": "pytest_attn.kernels.builtin.flash_v1:flash_v1",
    "flash_v2": "pytest_attn.kernels.builtin.flash_v2:flash_v2",
    "gqa": "pytest_attn.kernels.builtin.gqa:gqa",
    "mqa": "pytest_attn.kernels.builtin.mqa:mqa",
    "masked": "pytest_attn.kernels.builtin.masked:masked",
    "flex": "pytest_attn.kernels.builtin.flex:FLEX",
    "split_kv_decode": "pytest_attn.kernels.builtin.split_kv_decode:split_kv_decode",
    "sliding_window": "pytest_attn.kernels.builtin.sliding_window:sliding_window",
    "kv_cache_decode": "pytest_attn.kernels.builtin.kv_cache_decode:kv_cache_decode",
}
"""The built-in kernels: name -> `module:attribute`."""

ENTRY_POINT_GROUP = "pytest_attn.kernels"


def absolute(spec: str) -> str:
    """The same kernel named so that it is found from any directory."""
    path, separator, attribute = spec.rpartition(":")
    if separator and path.endswith(".py"):
        return f"{Path(path).absolute()}:{attribute}"
    return spec


def find_kernel(spec: str) -> Kernel:
    """The kernel named `module:attr`, `path/file.py:attr`, a built-in, or an entry point of `pytest_attn.kernels`.

    Raises ValueError with one sentence where there is none.
    """
    where, separator, attribute = spec.rpartition(":")
    if not separator and spec.endswith(".py"):
        raise ValueError(f"kernel {spec!r}: names no kernel of the file; allowed: {_kernels_of(spec)}")
    if not separator:
        return _named(spec)
    if where.endswith(".py:"):
        raise ValueError(f"kernel {spec!r}: allowed: {where}{attribute}")
    if not where or not attribute:
        raise ValueError(f"kernel {spec!r}: allowed: module:attribute or path/to/file.py:attribute")
    module = _module_of_file(spec, where) if where.endswith(".py") else _module(spec, where)
    target = _attribute(spec, module, attribute)
    try:
        with Contained():
            return as_kernel(target, spec)
    except Exception as error:
        raise ValueError(f"kernel {spec!r}: {_one_line(error)}") from error


def _kernels_of(file: str) -> str:
    """The names of the kernels in a file: what is declared as one, else its functions and classes that can be one."""
    module = _module_of_file(file, file)
    named = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    declared = [name for name, value in named.items() if isinstance(value, Kernel)]
    able = [
        name
        for name, value in named.items()
        if getattr(value, "__module__", "") == module.__name__
        and (inspect.isfunction(value) or (inspect.isclass(value) and hasattr(value, "prepare")))
    ]
    found = declared or able
    return ", ".join(f"{file}:{name}" for name in found[:8]) or "a file that defines one"


def _named(name: str) -> Kernel:
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return as_kernel(getattr(importlib.import_module(module), attribute), name)
    registered = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name in registered:
        try:
            with Contained():
                return as_kernel(registered[name].load(), name)
        except Exception as error:
            raise ValueError(f"kernel {name!r}: its entry point does not load: {_one_line(error)}") from error
    allowed = closest(name, [*BUILT_IN, *registered])
    raise ValueError(
        f"unknown kernel {name!r}; allowed: a built-in or installed one ({allowed}), "
        "module:attribute or path/to/file.py:attribute"
    )


def _module(spec: str, name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with Contained():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ValueError(f"kernel {spec!r}: no module {name!r} from {Path.cwd()}") from error
        raise ValueError(f"kernel {spec!r}: importing {name} fails: {_one_line(error)}") from error
    except Exception as error:
        raise ValueError(f"kernel {spec!r}: importing {name} fails: {_one_line(error)}") from error


def _module_of_file(spec: str, text: str) -> ModuleType:
    path = Path(text).absolute()
    if not path.is_file():
        nearby = [str(other) for other in path.parent.glob("*.py")] if path.parent.is_dir() else []
        hint = f"; allowed: an existing file, such as {closest(str(path), nearby)}" if nearby else ""
        raise ValueError(f"kernel {spec!r}: no file {path}{hint}")
    # The path is part of the name: two files of one name are two modules, and one file is loaded once.
    name = f"pytest_attn_kernel_{path.stem}_{hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    loading = importlib.util.spec_from_file_location(name, path)
    assert loading is not None
    assert loading.loader is not None
    module = importlib.util.module_from_spec(loading)
    sys.modules[name] = module
    # A kernel file may import its neighbours, as a script may.
    sys.path.insert(0, str(path.parent))
    try:
        with Contained():
            loading.loader.exec_module(module)
    except KeyboardInterrupt:  # by the user
        del sys.modules[name]
        raise
    except Exception as error:
        sys.modules.pop(name, None)
        raise ValueError(f"kernel {spec!r}: loading {path} fails: {_one_line(error)}") from error
    finally:
        if str(path.parent) in sys.path:
            sys.path.remove(str(path.parent))
    return module


def _one_line(error: Exception) -> str:
    return message(error) if isinstance(original(error), ValueError) else said(error)


def _attribute(spec: str, module: ModuleType, attribute: str) -> Any:
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            names = [name for name in vars(target) if not name.startswith("_")]
            raise ValueError(f"kernel {spec!r}: no attribute {attribute!r} there; allowed: {closest(part, names)}")
        target = getattr(target, part)
    return target
