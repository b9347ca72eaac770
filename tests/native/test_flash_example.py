"""The flash kernel in C++ of examples/native is right, is as exact as it declares, and is found by its name."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from native_bugs import NEEDS_GNU

from pytest_attn.bench.source import kernel_source, source_hash
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.naming import spec_of
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

pytestmark = NEEDS_GNU

FILE = Path(__file__).parents[2] / "examples" / "native" / "flash.py"
SPEC = f"{FILE}:flash"
DECLARED = 1e-7


@pytest.fixture(scope="module")
def flash() -> Kernel:
    return find_kernel(SPEC)


@pytest.mark.slow
def test_it_passes_the_smoke_sweep(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--pyargs", "pytest_attn.suite.test_smoke", f"--attn-kernel={SPEC}")
    result.stdout.fnmatch_lines(["claimed 138 of 177 | ran 138 | passed 138 | failed 0 | *"])
    assert result.ret == 0


@pytest.mark.slow
def test_it_passes_a_share_of_the_boundary_sweep() -> None:
    session = Session(Options())
    cases = [case for case in session.sweep("boundary", SPEC) if not case.unsatisfiable]
    records = [session.cell(SPEC, case, "boundary").record() for case in cases[:: len(cases) // 60]]
    assert {record.outcome for record in records} <= {"passed", "not claimed"}
    assert sum(record.outcome == "passed" for record in records) > 50


def test_its_exponential_is_as_exact_as_it_declares(flash: Kernel) -> None:
    x = np.linspace(-86.9999, 0, 2**20, dtype=np.float32)
    found = np.empty_like(x)
    library = ctypes.CDLL(str(flash.implementation.library))
    library.flash_exponential(x.ctypes.data_as(ctypes.c_void_p), found.ctypes.data_as(ctypes.c_void_p), len(x))
    error = np.abs(found / np.exp(x.astype(np.float64)) - 1).max()
    assert 0.5 * DECLARED < error < DECLARED
    assert flash.numerics_for(Problem.of(Case(4, 4, dtype="float32"))).exp_error == DECLARED


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_gives_the_same_bits(flash: Kernel, threads: int) -> None:
    problem = Problem.of(
        Case(200, 300, head_dim=24, query_heads=4, key_heads=2, dtype="float32", causal="bottom-right")
    )
    inputs = Inputs.draw(problem, seed=1)
    alone = flash.prepare(problem, inputs)()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        shared = flash.prepare(problem, inputs)()
    finally:
        torch.set_num_threads(before)
    assert torch.equal(alone.out, shared.out)
    assert torch.equal(alone.lse, shared.lse)


def test_what_is_not_a_number_is_not_hidden(flash: Kernel) -> None:
    problem = Problem.of(Case(40, 70, head_dim=8, dtype="float32"))
    inputs = Inputs.draw(problem, seed=1)
    inputs.key[0, 0, 33, 2] = torch.nan
    found = flash.prepare(problem, inputs)()
    assert found.out.isnan().all()
    assert found.lse.isnan().all()


def test_it_is_named_by_its_file(flash: Kernel) -> None:
    found = vars(sys.modules[next(name for name in sys.modules if name.startswith("pytest_attn_kernel_flash_"))])[
        "flash"
    ]
    assert spec_of(found).endswith(":flash")
    assert find_kernel(spec_of(found)).implementation is found.implementation


def test_its_source_is_what_the_compiler_reads(flash: Kernel) -> None:
    assert kernel_source(flash, SPEC).file == str(FILE.with_suffix(".cpp"))
    assert [file.name for file in flash.implementation.sources] == ["flash.cpp", "flash.hpp"]


def test_its_hash_follows_its_headers(tmp_path: Path) -> None:
    for name in ("flash.py", "flash.cpp", "flash.hpp"):
        (tmp_path / name).write_bytes(FILE.with_name(name).read_bytes())
    copied = find_kernel(f"{tmp_path / 'flash.py'}:flash")
    assert source_hash(copied) == source_hash(find_kernel(SPEC))
    with (tmp_path / "flash.hpp").open("a") as header:
        header.write("// changed\n")
    assert source_hash(copied) != source_hash(find_kernel(SPEC))
