"""A C function as a kernel."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pytest_attn.kernels.adapters.prepared import PreparedRun
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.kernel import Kernel, kernel
from pytest_attn.kernels.native.arguments import Given
from pytest_attn.kernels.native.build import Build, BuildError
from pytest_attn.kernels.native.call import Call, Memory, Number
from pytest_attn.kernels.native.signature import Signature
from pytest_attn.kernels.output import Output, new_output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal, parts
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.registry import variants

NEVER_PASSED = ("block_sparse", "block_sparse_causal", "backward")
"""Capabilities that no argument can tell a C function of."""


@dataclass(frozen=True, eq=False)
class NativeKernel:
    """A function of a shared library, which is built when a problem is first prepared."""

    build: Build
    signature: Signature

    def prepare(self, problem: Problem, inputs: Inputs, output: Output | None = None) -> PreparedRun:
        """The call, which fills the output, with its workspaces. Raises BuildError where there is no library."""
        filled = output or new_output(problem, inputs)
        call, device = self.bind(problem, inputs, filled), inputs.query.device

        def run() -> Output:
            with _current(device):
                call()
            return filled

        return run

    def bind(self, problem: Problem, inputs: Inputs, output: Output) -> Call:
        """The function with all that it is passed for a problem. Raises NotImplementedError for a problem that no
        argument tells it of, or a data type without a function."""
        untold = _untold(problem, self.signature)
        if untold:
            raise NotImplementedError(f"no argument of the signature tells of {untold}")
        given = _given(problem, inputs, output)
        return Call(
            self.library,
            self.signature.symbol(problem.data_type.name),
            _told_apart(tuple(argument.of(given) for argument in self.signature.arguments)),
            self.signature.status,
            self.signature.alignment,
        )

    @property
    def library(self) -> Path:
        """The shared library, looked for once in a process. Raises BuildError where there is none."""
        if isinstance(self._built, BuildError):
            raise self._built
        return self._built

    @cached_property
    def _built(self) -> Path | BuildError:
        try:
            return self.build.library()
        except BuildError as error:  # every cell would wait for the compiler to fail once more
            return error

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that it is made of: the source alone where no compiler names its headers."""
        try:
            return self.build.files()
        except (BuildError, OSError):
            return (self.build.source,)


def native_kernel(build: Build, signature: Signature, *, name: str = "", **declared: Any) -> Kernel:
    """A kernel that is a C function: judged, timed and found by name as any other, and run between guard pages.

    `declared` is what `pytest_attn.kernel` takes: capabilities, numerics, empty_rows. The output is the kernel's to
    fill; `any_scale` is claimed where the signature has a Scale, and of `dtypes` those that have a function of their
    own. Raises ValueError where a capability is claimed that no argument tells the function of.
    """
    declared.setdefault("any_scale", signature.takes_scale)
    if not isinstance(signature.function, str):
        declared.setdefault("dtypes", tuple(signature.function))
    made = kernel(name=name or build.source.stem, out_variant=True, **declared)(NativeKernel(build, signature))
    _refuse_untold(made.capabilities, signature)
    return made


def _refuse_untold(claims: Capabilities, signature: Signature) -> None:
    for name in NEVER_PASSED:
        if getattr(claims, name):
            raise ValueError(f"native_kernel: {name} is claimed; no argument can tell a C function of it")
    told = [word for word in ("lse", "causal", "causal_top_left") if getattr(claims, word)]
    for name in (*told, *claims.variants):
        if not signature.carries(name):
            raise ValueError(f"native_kernel: {name} is claimed, and no argument of the signature tells of it")
    for dtype in claims.dtypes:
        signature.symbol(dtype)
    if claims.any_scale and not signature.takes_scale:
        raise ValueError("native_kernel: any_scale is claimed, and no argument of the signature is a Scale")


def _told_apart(arguments: tuple[Number | Memory, ...]) -> tuple[Number | Memory, ...]:
    """Arguments whose memories have names of their own: the second of one name is numbered, and so on."""
    seen: Counter[str] = Counter()
    found: list[Number | Memory] = []
    for each in arguments:
        if isinstance(each, Memory):
            seen[each.name] += 1
            each = replace(each, name=f"{each.name} {seen[each.name]}") if seen[each.name] > 1 else each
        found.append(each)
    return tuple(found)


def _untold(problem: Problem, signature: Signature) -> str:
    """What a problem has that no argument tells of; empty where all is told."""
    masks = {type(mask) for mask in parts(problem.mask)}
    causal = {"bottom-right": "causal", "top-left": "causal_top_left"}
    needs = [causal[mask.align] for mask in parts(problem.mask) if isinstance(mask, Causal)]
    needs += [variant.capability for variant in problem.variants]
    untold = ["block_sparse"] if BlockSparse in masks else [need for need in needs if not signature.carries(need)]
    function = signature.function
    if not isinstance(function, str) and problem.data_type.name not in function:
        untold.append(problem.data_type.name)
    return ", ".join(untold)


def _given(problem: Problem, inputs: Inputs, output: Output) -> Given:
    keywords: dict[str, Any] = {}
    for variant in variants().values():
        keywords |= variant.absent
    for present in problem.variants:
        keywords |= present.keywords(problem, inputs.extras)
    lse = output.lse if problem.wants_lse else None
    own = {"query": inputs.query, "key": inputs.key, "value": inputs.value, "out": output.out, "lse": lse}
    causal = next((mask.align for mask in parts(problem.mask) if isinstance(mask, Causal)), None)
    return Given(problem, own, keywords, causal, torch.get_num_threads(), _stream(inputs.query.device))


def _stream(device: torch.device) -> int:
    if device.type == "cpu":
        return 0
    stream = getattr(torch, device.type).current_stream(device)
    return int(getattr(stream, f"{device.type}_stream"))


def _current(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which a runtime launches on the device of the inputs."""
    return nullcontext() if device.type == "cpu" else getattr(torch, device.type).device(device)
