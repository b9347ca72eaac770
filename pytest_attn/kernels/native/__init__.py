"""Kernels in C and C++: compile, load, bind, and hand over as any other kernel."""

from pytest_attn.kernels.native.arguments import (
    Constant,
    Flag,
    Keyword,
    Pointer,
    Scale,
    Size,
    Stream,
    Stride,
    Threads,
    Workspace,
)
from pytest_attn.kernels.native.build import Build, BuildError
from pytest_attn.kernels.native.compiler import Compiler
from pytest_attn.kernels.native.kernel import NativeKernel, native_kernel
from pytest_attn.kernels.native.signature import Signature

__all__ = [
    "Build",
    "BuildError",
    "Compiler",
    "Constant",
    "Flag",
    "Keyword",
    "NativeKernel",
    "Pointer",
    "Scale",
    "Signature",
    "Size",
    "Stream",
    "Stride",
    "Threads",
    "Workspace",
    "native_kernel",
]
