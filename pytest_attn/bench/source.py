"""The source of a kernel: where it is, and whether the code of two measurements is the same."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_attn.bench.kernel_source import KernelSource
from pytest_attn.kernels.adapters import FunctionKernel
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.native import NativeKernel

UNKNOWN = "unknown"
"""The hash of a kernel without source."""


def kernel_source(kernel: Kernel, spec: str) -> KernelSource:
    """Where the code of the kernel that `spec` names is written."""
    native = kernel.implementation
    if isinstance(native, NativeKernel):
        file = str(native.build.source.absolute())
        return KernelSource(spec=spec, file=file, line=1, hash=source_hash(kernel))
    target = _target(kernel)
    path = _file_of(target)
    file = str(path.absolute()) if path else ""
    return KernelSource(spec=spec, file=file, line=_line_of(target), hash=source_hash(kernel))


def source_hash(kernel: Kernel) -> str:
    """A hash of the file that defines a kernel and of the files beside it that it takes names from; equal in every
    process and folder.

    Of the text alone where there is no file, as in a notebook; `unknown` where there is neither. Of a native kernel,
    the flags of its compiler and what it compiles.
    """
    digest = hashlib.blake2b(digest_size=8)
    native = kernel.implementation
    if isinstance(native, NativeKernel):
        compiler = native.build.compiler
        digest.update("\0".join((compiler.command, *compiler.flags)).encode())
        for file in sorted(native.sources):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()
    target = _target(kernel)
    path = _file_of(target)
    if path is not None:
        for file in sorted(_with_neighbours(path, sys.modules.get(target.__module__))):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()
    try:
        digest.update(inspect.getsource(target).encode())
    except (OSError, TypeError):
        return UNKNOWN
    return digest.hexdigest()


def _target(kernel: Kernel) -> Any:
    """The function, or the class, that its author wrote."""
    implementation = kernel.implementation
    target: Any = implementation.function if isinstance(implementation, FunctionKernel) else type(implementation)
    while isinstance(target, functools.partial):
        target = target.func
    target = inspect.unwrap(target)
    return target if inspect.isroutine(target) or inspect.isclass(target) else type(target)


def _file_of(target: Any) -> Path | None:
    try:
        found = inspect.getsourcefile(target)
    except TypeError:
        return None
    return Path(found) if found and Path(found).is_file() else None


def _line_of(target: Any) -> int:
    try:
        _, line = inspect.getsourcelines(target)
    except (OSError, TypeError):
        return 0
    return max(line, 1)


def _with_neighbours(path: Path, module: ModuleType | None) -> set[Path]:
    """The file and, through the names of its module, files in the same folder."""
    found = {path}
    waiting = [module] if module else []
    while waiting:
        for value in list(vars(waiting.pop()).values()):
            home = value if isinstance(value, ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
            file = getattr(home, "__file__", None)
            if home and file and Path(file).parent == path.parent and Path(file) not in found and Path(file).is_file():
                found.add(Path(file))
                waiting.append(home)
    return found
