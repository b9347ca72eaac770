"""What another process needs beside the id of a case to run it: where modules are found, and who registers what."""

from __future__ import annotations

import site
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from pytest_attn.kernels.naming import import_root
from pytest_attn.kernels.resolve import absolute
from pytest_attn.problem.case import Case
from pytest_attn.problem.dtypes import dtype_registrar
from pytest_attn.problem.registrar import Registrar
from pytest_attn.problem.variants.registry import variant_registrar


@dataclass(frozen=True)
class Surroundings:
    """Where and with what a command runs that judges a case."""

    spec: str
    """The name of the kernel, as it is found from there."""

    directory: Path | None = None
    """The directory to run in; None: any."""

    folders: tuple[Path, ...] = ()
    """Folders that modules are found in."""

    plugins: tuple[str, ...] = ()
    """Arguments that have pytest load what registers variants and data types."""

    lost: str = ""
    """Why no command has all that the case needs, in words."""

    @staticmethod
    def of(spec: str, case: Case) -> Surroundings:
        """Of a kernel, by its name, on a case."""
        registrars = _registrars(case)
        for needed, registrar in registrars.items():
            if not registrar.file:
                lost = f"{needed} is registered in {registrar.module}; no command can find it again"
                return Surroundings(spec, lost=lost)
        modules = {Path(registrar.file).absolute(): registrar for registrar in registrars.values()}
        spec = _as_loaded(absolute(spec), modules)
        conftests = [path for path in modules if path.name == "conftest.py"]
        plugins = {registrar.module: path for path, registrar in modules.items() if path not in conftests}
        module = "" if ".py:" in spec or spec.startswith("pytest_attn.") else spec.rpartition(":")[0]
        roots = [import_root(name, path) for name, path in plugins.items()]
        if module and module not in plugins:
            file = getattr(sys.modules.get(module), "__file__", None)
            roots.append(import_root(module, Path(file).absolute()) if file else Path.cwd())
        # pytest loads the conftest of the directory that it is started in, and those above it, whatever tests it runs.
        deepest = max((path.parent for path in conftests), key=lambda path: len(path.parts), default=None)
        directory = deepest or (Path.cwd() if module and module not in plugins else None)
        folders = dict.fromkeys(root for root in roots if root != directory and not _is_installed(root))
        loaded = tuple(word for module in plugins if not _loads_itself(module) for word in ("-p", module))
        return Surroundings(spec, directory, tuple(folders), loaded)


def _registrars(case: Case) -> dict[str, Registrar]:
    """Who registered the variants and the data type of a case, by what that is; those that every process knows left
    out."""
    found = {f"the variant {variant.capability}": variant_registrar(variant.capability) for variant in case.variants}
    found[f"the data type {case.dtype}"] = dtype_registrar(case.dtype)
    return {needed: _imported(registrar) for needed, registrar in found.items() if registrar is not None}


def _imported(registrar: Registrar) -> Registrar:
    """A registrar as another process imports it: a script by the name of its file."""
    if registrar.module != "__main__" or not registrar.file:
        return registrar
    return registrar._replace(module=Path(registrar.file).stem)


def _as_loaded(spec: str, modules: dict[Path, Registrar]) -> str:
    """The name of a kernel in a file that also registers something: that of the module, which is loaded once."""
    file, _, attribute = spec.rpartition(":")
    registrar = modules.get(Path(file))
    return f"{registrar.module}:{attribute}" if registrar else spec


def _is_installed(root: Path) -> bool:
    installed = {*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()}
    return str(root) in installed


def _loads_itself(module: str) -> bool:
    """Whether a module is a plugin that pytest loads of its own accord; it refuses to be told to as well."""
    return any(entry.module == module for entry in entry_points(group="pytest11"))
