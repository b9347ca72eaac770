"""A compiler as the start of its command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

OPTIMIZED = ("-O3", "-march=native", "-std=c++17")
"""What a kernel for the CPU of this machine is compiled with, unless its author says otherwise."""

SHARED = ("-shared", "-fPIC", "-pthread")


@dataclass(frozen=True, slots=True)
class Compiler:
    """How a source becomes a shared library: `command` found on the PATH, `flags`, and folders of headers.

    A build adds `-I` before each folder, the source and `-o` with the library. Values only: nothing is looked for, and
    nothing runs, before a build needs it.
    """

    command: str
    flags: tuple[str, ...]
    include: tuple[Path, ...] = ()

    @classmethod
    def gnu(cls, *flags: str, command: str = "g++", include: tuple[Path, ...] = ()) -> Self:
        """`g++` or another compiler with its options, such as `gcc` for C, with `flags` or `OPTIMIZED`."""
        return cls(command, (*SHARED, *(flags or OPTIMIZED)), include)

    @classmethod
    def clang(cls, *flags: str, command: str = "clang++", include: tuple[Path, ...] = ()) -> Self:
        """`clang++`, with `flags` or `OPTIMIZED`."""
        return cls(command, (*SHARED, *(flags or OPTIMIZED)), include)

    @classmethod
    def nvcc(cls, *flags: str, architecture: str = "native", include: tuple[Path, ...] = ()) -> Self:
        """NVIDIA's compiler, for the GPU of this machine or an `architecture` such as `sm_90`."""
        return cls(
            "nvcc",
            ("-shared", "-Xcompiler", "-fPIC", f"-arch={architecture}", *(flags or ("-O3", "-std=c++17"))),
            include,
        )

    @classmethod
    def bisheng(
        cls,
        *flags: str,
        architecture: str = "dav-2201",
        include: tuple[Path, ...] = (),
        environment: Mapping[str, str] = os.environ,
    ) -> Self:
        """Huawei's compiler for Ascend NPUs, of an `architecture` that `NPU_ARCH` overrides, for kernels of PTO tiles.

        Headers come from the checkout of pto-isa that `PTO_LIB_PATH` names, those of its flash kernel among them, and
        from the toolkit of `ASCEND_TOOLKIT_HOME`; a variable that is not set adds none.
        """
        architecture = environment.get("NPU_ARCH") or architecture
        folders = [*include]
        if library := environment.get("PTO_LIB_PATH"):
            folders += [Path(library, "include"), Path(library, "kernels", "manual", "a2a3", "flash_atten")]
        if toolkit := environment.get("ASCEND_TOOLKIT_HOME"):
            folders.append(Path(toolkit, "include"))
        own = flags or ("-O2", "-std=c++17", "-Wno-ignored-attributes")
        return cls("bisheng", ("-fPIC", "-shared", "-xcce", f"--npu-arch={architecture}", *own), tuple(folders))

    def words(self, source: Path) -> tuple[str, ...]:
        """The command line without what is to be made of the source."""
        return (self.command, *self.flags, *(f"-I{folder}" for folder in self.include), str(source))

    @property
    def of_this_machine(self) -> bool:
        """Whether what it makes depends on the processor that it runs on."""
        return any(flag.endswith("=native") for flag in self.flags)
