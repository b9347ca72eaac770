"""A function that writes its output in another data type than that of the problem."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from native_bugs import NEEDS_GNU, SOURCE, verdict_on

from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.native import Build, Compiler, Pointer, Scale, Signature, Size, native_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

pytestmark = NEEDS_GNU

ONE_KEY = Case(5, 1, head_dim=7, ask="out")


def only_key(folder: Path, *bugs: str) -> Kernel:
    """A kernel for a single key, from bfloat16 to float32."""
    arguments = (Pointer("value"), Pointer("out", "float32"), Size("query_length"), Size("head_dim"), Scale())
    build = Build(SOURCE, Compiler.gnu("-O1", *bugs), folder=folder)
    return native_kernel(build, Signature("only_key", arguments), dtypes=("bfloat16",))


def test_it_is_converted_after_each_call(tmp_path: Path) -> None:
    assert verdict_on(only_key(tmp_path), ONE_KEY).passed


def test_what_is_not_written_is_found(tmp_path: Path) -> None:
    assert not verdict_on(only_key(tmp_path, "-DLEAVES_THE_LAST"), ONE_KEY).passed


def test_an_element_that_a_second_call_leaves_unwritten_is_no_result_of_the_first(tmp_path: Path) -> None:
    problem = Problem.of(ONE_KEY)
    run = only_key(tmp_path, "-DLEAVES_THE_LAST").prepare(problem, Inputs.draw(problem, seed=1))
    for _ in range(2):
        run().out.fill_(torch.nan)
        assert run().out.isnan().flatten().nonzero().tolist() == [[34]]


def test_an_input_is_not_converted() -> None:
    with pytest.raises(ValueError, match=r"^Pointer: query has dtype 'float32'; allowed for out and lse alone$"):
        Pointer("query", "float32")


def test_a_dtype_that_torch_lacks_is_refused(tmp_path: Path) -> None:
    signature = Signature("only_key", (Pointer("out", "float23"), Scale()))
    kernel = native_kernel(Build(SOURCE, Compiler.gnu("-O1"), folder=tmp_path), signature)
    problem = Problem.of(ONE_KEY)
    with pytest.raises(ValueError, match=r"^Pointer: dtype is 'float23'; allowed: the name of a torch\.dtype"):
        kernel.prepare(problem, Inputs.draw(problem, seed=1))
