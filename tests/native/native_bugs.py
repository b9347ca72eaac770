"""A kernel in C++ with a bug of choice, and what the judge says of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_attn.execution.session import Session
from pytest_attn.judge.verdict.verdict import Verdict
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.native import (
    Build,
    Compiler,
    Pointer,
    Scale,
    Signature,
    Size,
    Workspace,
    native_kernel,
)
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem

NEEDS_GNU = pytest.mark.skipif(shutil.which("g++") is None, reason="not here: no g++")

SOURCE = Path(__file__).with_name("attend.cpp")


def weights(problem: Problem) -> int:
    """Bytes of the workspace: one float per query and key."""
    return 4 * problem.batch * problem.query_heads * problem.query_length * problem.key_length


SIGNATURE = Signature(
    "attend",
    (
        *(Pointer(name) for name in ("query", "key", "value", "out", "lse")),
        *(Size(name) for name in ("batch", "query_heads", "query_length", "key_length", "head_dim")),
        Scale(),
        Workspace(weights),
    ),
    status=True,
)

SMALL = Case(7, 13, head_dim=5, query_heads=2, dtype="float32")
"""Tensors whose sizes are no multiples of anything."""


def planted(bug: str, folder: Path, signature: Signature = SIGNATURE) -> Kernel:
    """The kernel with a bug, built into a folder."""
    build = Build(SOURCE, Compiler.gnu("-O1", f"-D{bug}"), folder=folder)
    return native_kernel(build, signature, lse=True, dtypes=("float32",), numerics=Numerics(probabilities="float32"))


def verdict_on(kernel: Kernel, case: Case = SMALL) -> Verdict:
    """The verdict on a kernel in float32."""
    return Session(Options()).cell(kernel, case).judge()
