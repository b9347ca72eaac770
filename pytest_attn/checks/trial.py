"""Runs of a kernel on guarded memory, and what is wrong with them before any value is compared."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pytest_attn.checks.buffers import Guarded, GuardedInputs, guard
from pytest_attn.checks.guard_pages import touched_beyond
from pytest_attn.checks.spoiled_memory import spoil_free_memory
from pytest_attn.contained import Contained, message, original, said
from pytest_attn.devices.device import Device
from pytest_attn.judge.verdict.facts import read_output
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Kernel, Output, PreparedRun
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.logits import sinks
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.variant import Variant

REFUSED = "refused"
"""`what` of the finding that a kernel raised NotImplementedError."""

UNKNOWN_KEYWORD = "keyword"
"""`what` of the finding that a function does not take the keyword of a capability that it claims."""

MOST_FRAMES = 4
"""Frames of the author's code that are named."""

Buffers = dict[str, Guarded]
"""The buffers that an out variant writes into, by keyword."""


class Trial:
    """A kernel prepared once for guarded inputs, and run as often as it is called.

    The calls are ordinary ones, in whatever state the process is. `poisoned`: memory that the kernel allocates and does
    not write shows as NaN; `unwritten` is the number that the buffers of an out variant hold before every call.
    """

    def __init__(
        self,
        kernel: Kernel,
        problem: Problem,
        given: GuardedInputs,
        device: Device,
        *,
        poisoned: bool = False,
        unwritten: float = torch.nan,
    ) -> None:
        self._kernel = kernel
        self._problem = problem
        self._given = given
        self._device = device
        self._poisoned = poisoned
        self._unwritten = unwritten
        self._buffers = _out_buffers(kernel, problem, given)
        self._run: PreparedRun | None = None

    def __call__(self) -> Output | Finding:
        """An output of the right form, or the finding that there is none: the kernel raised, wrote where it must not,
        or returned something else. Another call may overwrite the output."""
        for buffer in self._buffers.values():
            buffer.tensor.fill_(self._unwritten)
        spoil_free_memory(self._problem, self._device.torch)
        self._device.synchronize()
        memory: AbstractContextManager[None] = poisoned_memory() if self._poisoned else nullcontext()
        try:
            if self._run is None:
                beyond = touched_beyond(self._kernel, self._problem, self._given.inputs, self._buffers)
                if beyond is not None:
                    return beyond
            with memory, Contained():
                returned = self.prepared()()
                self._device.synchronize()
        except NotImplementedError as error:
            words = f"the kernel refuses a problem that it claims: {message(error)}"
            return Finding(what=REFUSED, words=words)
        except Exception as error:
            return Finding(what=UNKNOWN_KEYWORD if _knows_no_keyword(error) else "raised", words=_raised(error))
        return self.read(returned)

    def prepared(self) -> PreparedRun:
        """The kernel itself, prepared once: what is timed. Raises whatever `prepare` raises."""
        if self._run is None:
            self._run = _prepared(self._kernel, self._problem, self._given.inputs, self._buffers)
        return self._run

    def read(self, returned: Any) -> Output | Finding:
        """What a call of `prepared()` returned, as an output of the right form, or the finding that it is none."""
        output = _read(returned, self._problem, self._given, self._buffers)
        return output if isinstance(output, Finding) else self._restored(output)

    def _restored(self, output: Output) -> Output:
        """An output in the form of the problem; what a storage has no place for is as the kernel declares rows without
        keys."""
        problem, storage = self._problem, self._problem.storage
        if storage is None or problem.num_splits:
            return output
        if output.grads is not None:
            return replace(output, grads=self._restored_gradients(output.grads, storage))
        out, lse = output.out.new_zeros(problem.out_shape), None
        storage.restore(problem, output.out, out)
        if output.lse is not None:
            empty = self._kernel.empty_rows.lse
            lse = output.lse.new_full(problem.lse_shape, -torch.inf if empty is None else empty)
            sink = sinks(problem, self._given.inputs)
            if sink is not None:
                lse.copy_(sink.view(1, -1, 1).expand_as(lse))
            storage.restore(problem, output.lse, lse)
        return Output(out, lse)

    def _restored_gradients(self, gradients: Gradients, storage: Variant) -> Gradients:
        problem, (dq, dk, dv) = self._problem, gradients
        shapes = problem.input_shapes
        found = Gradients(*(tensor.new_zeros(shape) for tensor, shape in zip(gradients, shapes, strict=True)))
        storage.restore(problem, dq, found.dq, "query")
        storage.restore(problem, dk, found.dk, "key")
        storage.restore(problem, dv, found.dv, "key")
        return found


def _out_buffers(kernel: Kernel, problem: Problem, given: GuardedInputs) -> Buffers:
    if not kernel.capabilities.out_variant:
        return {}
    query, (out_shape, lse_shape) = given.query.tensor, problem.stored_shapes
    buffers = {"out": guard(query.new_full(out_shape, torch.nan, dtype=problem.out_dtype))}
    if problem.wants_lse:
        buffers["lse"] = guard(query.new_full((*lse_shape, 1), torch.nan, dtype=problem.sum_dtype))
    return buffers


def _prepared(kernel: Kernel, problem: Problem, inputs: Inputs, buffers: Buffers) -> PreparedRun:
    if not buffers:
        return kernel.prepare(problem, inputs)
    filled = Output(buffers["out"].tensor, buffers["lse"].tensor.squeeze(-1) if "lse" in buffers else None)
    run = kernel.prepare(problem, inputs, filled)

    def fill() -> Output:
        run()
        return filled

    return fill


def _read(returned: Any, problem: Problem, given: GuardedInputs, buffers: Buffers) -> Output | Finding:
    written = given.written()
    if written:
        words = f"the kernel wrote into its inputs: {written}, or memory beside it, changed"
        return Finding(what="inputs", tensor=written, names_tensor=True, words=words)
    for name, guarded in buffers.items():
        # Writing the tensor is the kernel's work; what lies around it is not.
        around = guarded.buffer.clone()
        around.as_strided(guarded.tensor.shape, guarded.tensor.stride(), guarded.tensor.storage_offset()).fill_(
            torch.nan
        )
        if not bool(around.isnan().all()):
            return Finding(what="outside", tensor=name, words="the kernel wrote beyond the buffer that it was given")
    output = read_output(returned, problem, given.inputs)
    if isinstance(output, Finding):
        return output
    named = {"out": output.out if problem.wants_out else None, "lse": output.lse}
    for name, tensor in (named | (output.grads._asdict() if output.grads else {})).items():
        shared = given.aliased(tensor) if tensor is not None else None
        if shared:
            return Finding(what="aliased", tensor=name, words=f"shares its memory with {shared}")
    return output


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """A context in which memory from `torch.empty` and its kind holds NaN, so that what a kernel does not write shows.

    That is a documented effect of torch's deterministic mode; its warnings about other operations are not ours to show.
    """
    before = torch.get_deterministic_debug_mode()
    with warnings.catch_warnings():
        for message in (".*does not have a deterministic implementation", "Deterministic behavior was enabled"):
            warnings.filterwarnings("ignore", message=message)
        torch.set_deterministic_debug_mode("warn")
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(before)


def _knows_no_keyword(error: Exception) -> bool:
    return isinstance(error, TypeError) and "unexpected keyword argument" in message(error)


def _raised(error: Exception) -> str:
    """The exception in one line: what it says, and the author's own frames, the innermost last: neither ours nor a
    library's."""
    here = str(Path(__file__).parent.parent)
    frames = (
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(original(error).__traceback__)
        if "site-packages" not in frame.filename and not frame.filename.startswith((here, "<frozen"))
    )
    own = [*dict.fromkeys(frames)][-MOST_FRAMES:]
    where = f" ({' -> '.join(own)})" if own else ""
    return f"the kernel raised {said(error)}{where}"
