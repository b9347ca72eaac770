"""What a C function is passed, and claims that its signature cannot keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from native_bugs import SIGNATURE

from pytest_attn.kernels.native import (
    Build,
    Constant,
    Flag,
    Keyword,
    Pointer,
    Scale,
    Signature,
    Size,
    Stream,
    Stride,
    Threads,
    Workspace,
    native_kernel,
)
from pytest_attn.kernels.native import kernel as module
from pytest_attn.kernels.native.call import Memory, Number
from pytest_attn.kernels.native.kernel import NativeKernel
from pytest_attn.kernels.output import new_output
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.seqused_k import KeyLengths
from pytest_attn.problem.variants.softcap import Softcap

BUILD = Build(Path("none.cpp"))
SMALL = Case(4, 6, head_dim=8, value_dim=3, batch=2, query_heads=4, key_heads=2, dtype="float32")
CAUSAL = replace(SMALL, causal="bottom-right")


class Unbuilt(NativeKernel):
    library = Path("none.so")  # type: ignore[assignment]


def bound(case: Case, *arguments: Any) -> tuple[Any, ...]:
    """The arguments of a call, numbers as they are and memory as its tensor."""
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=1)
    call = Unbuilt(BUILD, Signature("f", arguments)).bind(problem, inputs, new_output(problem, inputs))
    return tuple(each.value if isinstance(each, Number) else each.tensor for each in call.arguments)


def test_numbers_are_those_of_the_problem() -> None:
    sizes = ("batch", "query_heads", "key_heads", "query_length", "key_length", "head_dim", "value_dim")
    assert bound(SMALL, *(Size(name) for name in sizes)) == (2, 4, 2, 4, 6, 8, 3)
    assert bound(SMALL, Scale(), Constant(7), Stream()) == (pytest.approx(8**-0.5), 7, 0)
    assert bound(SMALL, *(Stride("value", at) for at in range(4))) == (36, 18, 3, 1)
    assert bound(SMALL, Threads()) == (torch.get_num_threads(),)


@pytest.mark.parametrize(
    ("case", "flags"),
    [
        (CAUSAL, (True, False, True)),
        (replace(SMALL, causal="top-left", ask="out"), (False, True, False)),
        (SMALL, (False, False, True)),
    ],
    ids=["bottom-right", "top-left", "dense"],
)
def test_flags_say_what_the_problem_is(case: Case, flags: tuple[bool, ...]) -> None:
    assert bound(case, Flag("causal"), Flag("causal_top_left"), Flag("lse")) == flags


def test_pointers_are_the_tensors() -> None:
    shapes = [
        tuple(tensor.shape) for tensor in bound(SMALL, *(Pointer(n) for n in ("query", "key", "value", "out", "lse")))
    ]
    assert shapes == [(2, 4, 4, 8), (2, 2, 6, 8), (2, 2, 6, 3), (2, 4, 4, 3), (2, 4, 4)]


def test_what_is_not_asked_for_is_null() -> None:
    assert bound(replace(SMALL, ask="out"), Pointer("lse")) == (None,)


def test_lengths_are_a_pointer_where_there_are_some() -> None:
    case = replace(SMALL, variants=(KeyLengths(),))
    (lengths,) = bound(case, Pointer("seqused_k"))
    assert (lengths.dtype, lengths.shape) == (torch.int32, (case.batch,))
    assert bound(SMALL, Pointer("seqused_k")) == (None,)


def test_a_keyword_of_a_variant_is_a_number() -> None:
    (cap,) = bound(replace(SMALL, variants=(Softcap(30.0),)), Keyword("softcap"))
    assert cap == 30.0
    assert bound(SMALL, Keyword("softcap"), Keyword("window_size", 0, "int32")) == (0.0, -1)


def test_a_workspace_has_the_bytes_that_its_function_says() -> None:
    (room, other) = bound(SMALL, Workspace(lambda problem: 10 * problem.batch), Workspace(0))
    assert (room.nbytes, other.nbytes) == (20, 0)


def test_memory_without_elements_has_no_extent() -> None:
    assert (Memory("key", torch.empty(1, 0, 4), True).extent, Memory("key", None, True).address) == (0, None)
    assert Memory("key", torch.empty(4, 10).t()[:3], True).extent == 4 * (2 + 30 + 1)


def test_a_number_that_its_type_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a number of C is 2147483648; allowed as int32: -2\^31 to 2\^31 - 1"):
        Number("int32", 2**31)
    with pytest.raises(ValueError, match=r"a number of C is 0\.5; allowed as int64: whole numbers"):
        Number("int64", 0.5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Size("keylength"), "Size: 'keylength' is unknown; allowed: key_length"),
        (lambda: Flag("casual"), "Flag: 'casual' is unknown; allowed: causal"),
        (lambda: Signature("f", (3,)), "Signature: 3 is no argument; allowed: Pointer, Size"),
        (lambda: Signature("f", (), alignment=48), "Signature: alignment is 48; allowed: 0 or a power of two"),
        (
            lambda: Signature({"float32": "f"}, ()).symbol("float16"),
            "Signature: no function for 'float16'; allowed: float32",
        ),
        (lambda: bound(SMALL, Pointer("quer")), "Pointer: no tensor 'quer'; allowed: query"),
        (lambda: bound(SMALL, Keyword("softcop")), "Keyword: no keyword 'softcop'; allowed: softcap"),
        (lambda: bound(SMALL, Size("batch", "int8")), "a number of C is 'int8'; allowed: bool, int32"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_closest(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match="^" + words.replace("(", r"\(")):
        make()


@pytest.mark.parametrize("claim", ["causal", "causal_top_left", "softcap", "seqused_k", "window_size", "block_sparse"])
def test_a_claim_that_no_argument_tells_of_is_refused(claim: str) -> None:
    with pytest.raises(ValueError, match=f"^native_kernel: {claim} is claimed"):
        native_kernel(BUILD, SIGNATURE, **{claim: True})


def test_the_lse_and_the_scale_are_claims_too() -> None:
    no_lse = Signature("f", (Pointer("query"), Scale()))
    with pytest.raises(ValueError, match=r"^native_kernel: lse is claimed"):
        native_kernel(BUILD, no_lse, lse=True)
    no_scale = Signature("f", (Pointer("query"),))
    assert not native_kernel(BUILD, no_scale).capabilities.any_scale
    with pytest.raises(ValueError, match=r"^native_kernel: any_scale is claimed"):
        native_kernel(BUILD, no_scale, any_scale=True)


@pytest.mark.parametrize(
    ("claim", "argument"), [("window_size", Keyword("window_size", 0)), ("seqused_k", Pointer("seqused_k"))]
)
def test_a_claim_that_an_argument_tells_of_is_kept(claim: str, argument: Any) -> None:
    signature = Signature("f", (Pointer("query"), Scale(), argument))
    assert native_kernel(BUILD, signature, **{claim: True}).capabilities.variants == (claim,)


def test_a_build_that_fails_is_not_tried_for_every_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    native = NativeKernel(Build(tmp_path / "none.cpp"), SIGNATURE)
    fails = Build.library
    monkeypatch.setattr(Build, "library", lambda self: tried.append(self) or fails(self))
    for _ in range(3):
        with pytest.raises(module.BuildError, match="no source"):
            _ = native.library
    assert len(tried) == 1


def test_the_stream_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    class Runtime:
        @staticmethod
        def current_stream(device: torch.device) -> Any:
            return type("Stream", (), {"cuda_stream": 1234})()

    monkeypatch.setattr(torch, "cuda", Runtime)
    assert module._stream(torch.device("cuda:0")) == 1234


@pytest.mark.parametrize(
    ("case", "untold"),
    [
        (CAUSAL, "causal"),
        (replace(SMALL, variants=(Softcap(30.0),)), "softcap"),
        (replace(SMALL, dtype="float64"), "float64"),
        (Case(256, 256, dtype="float32", sparsity=0.5, block_shape=(128, 128)), "block_sparse"),
    ],
    ids=["causal", "variant", "dtype", "block_sparse"],
)
def test_a_problem_that_no_argument_tells_of_is_refused(case: Case, untold: str) -> None:
    problem = Problem.of(case)
    inputs = Inputs.draw(problem, seed=1)
    native = Unbuilt(BUILD, Signature({"float32": "f"}, (Pointer("query"), Scale())))
    with pytest.raises(NotImplementedError, match=f"^no argument of the signature tells of {untold}$"):
        native.bind(problem, inputs, new_output(problem, inputs))


def test_data_types_are_those_that_have_a_function() -> None:
    signature = replace(SIGNATURE, function={"float32": "f"})
    assert native_kernel(BUILD, signature).capabilities.dtypes == ("float32",)
    with pytest.raises(ValueError, match="no function for 'float16'; allowed: float32"):
        native_kernel(BUILD, signature, dtypes=("float32", "float16"))


def test_a_kernel_of_pto_tiles_is_described() -> None:
    """stream, head size, queries, keys, causal, q, k, v, a float32 output, then seven workspaces."""
    arguments = (
        Stream(),
        *(Size(name, "int32") for name in ("head_dim", "query_length", "key_length")),
        Flag("causal"),
        *(Pointer(name) for name in ("query", "key", "value")),
        Pointer("out", "float32"),
        *(Workspace(lambda problem: 4 * problem.query_length * problem.key_length) for _ in range(7)),
    )
    case = Case(128, 256, head_dim=128, dtype="float16", causal="bottom-right", ask="out")
    found = bound(case, *arguments)
    assert found[:5] == (0, 128, 128, 256, True)
    assert [tensor.dtype for tensor in found[5:9]] == [torch.float16] * 3 + [torch.float32]
    assert len({tensor.data_ptr() for tensor in found[9:]}) == 7
    assert all(tensor.nbytes == 4 * 128 * 256 for tensor in found[9:])


def test_memories_of_one_name_are_numbered() -> None:
    problem = Problem.of(SMALL)
    inputs = Inputs.draw(problem, seed=1)
    signature = Signature("f", (Pointer("query"), Workspace(4), Workspace(8), Workspace(4, "room")))
    call = Unbuilt(BUILD, signature).bind(problem, inputs, new_output(problem, inputs))
    assert [each.name for each in call.arguments] == ["query", "workspace", "workspace 2", "room"]
