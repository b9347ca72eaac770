"""A native kernel between guard pages: what it touches beyond its tensors is named, and ends no process of ours."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pytest_attn.checks.buffers import Guarded
from pytest_attn.judge.verdict.finding import Finding
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.native.call import C_TYPES, Call, Memory, Number
from pytest_attn.kernels.native.kernel import NativeKernel
from pytest_attn.kernels.output import Output, new_output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem

PROGRAM = Path(__file__).with_name("guarded_process.py")

SECONDS = 300.0
"""Time that the guarded calls of one problem may take."""

MOST_FLOPS = 1e9
"""Operations of the largest problem that is run with tensors at the start of their pages as well as at the end."""

MOST_BYTES = 2**31
"""Bytes of the tensors, of which the process holds two copies, of the largest problem that is run between guards."""

SMALLEST_ADDRESS = 65536
"""Below it nothing is ever mapped: an access there is one through a null pointer."""

SHOWN_CHARACTERS = 300
"""So much of the end of what a process printed is shown."""


def touched_beyond(kernel: Kernel, problem: Problem, inputs: Inputs, buffers: Mapping[str, Guarded]) -> Finding | None:
    """What a native kernel touches that is not its to touch, found before it runs in this process; None where that is
    nothing, where the kernel is no native one, and where no page can be guarded: off Linux, on other devices, without
    memory for two copies."""
    native = kernel.implementation
    if not isinstance(native, NativeKernel) or inputs.query.device.type != "cpu" or sys.platform != "linux":
        return None
    output = _filled(buffers) or new_output(problem, inputs)
    call = native.bind(problem, inputs, output)
    if sum(each.extent for each in call.arguments if isinstance(each, Memory)) > MOST_BYTES:
        return None
    sides = ["end", "start"] if problem.forward_flops <= MOST_FLOPS else ["end"]
    return _finding(call, sides)


def _filled(buffers: Mapping[str, Guarded]) -> Output | None:
    if "out" not in buffers:
        return None
    return Output(buffers["out"].tensor, buffers["lse"].tensor.squeeze(-1) if "lse" in buffers else None)


def _finding(call: Call, sides: list[str]) -> Finding | None:
    answer, ending, printed = _asked(call, sides, "-I", "-S")
    if "unloaded" in answer:
        # A library may need what torch has loaded.
        answer, ending, printed = _asked(call, sides, "-c", _WITH_TORCH)
    if "unloaded" in answer:
        return _said(f"the library does not load in a process of its own: {answer['unloaded']}")
    if answer:
        return _touched(call, answer)
    return _said(f"the kernel, run in a process of its own, {ending}{printed}") if ending else None


_WITH_TORCH = f"import torch, runpy; runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"


def _asked(call: Call, sides: list[str], *options: str) -> tuple[dict[str, Any], str, str]:
    """The answer of a process, how it ended where it gave none, and the end of what it printed."""
    with ExitStack() as closing:
        contents = os.memfd_create("tensors")
        closing.callback(os.close, contents)
        reading, writing = os.pipe()
        closing.callback(os.close, reading)
        question = {
            "library": str(call.library),
            "symbol": call.symbol,
            "status": call.status,
            "sides": sides,
            "contents": contents,
            "arguments": _arguments(call, contents),
        }
        program = [] if "-c" in options else [str(PROGRAM)]
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path if entry)
        try:
            done = subprocess.run(
                [sys.executable, *options, *program, str(writing)],
                input=json.dumps(question).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(contents, writing),
                env={**os.environ, "PYTHONPATH": path},
                timeout=SECONDS,
            )
            status, printed = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            status, printed = None, late.output or b""
        finally:
            os.close(writing)
        heard = os.read(reading, 65536)
    words = " ".join(printed.decode(errors="replace").split())[-SHOWN_CHARACTERS:]
    answer = json.loads(heard) if heard else {}
    return answer, "" if heard else _ending(status), f": {words}" if words else ""


def _ending(status: int | None) -> str:
    if status == -signal.SIGKILL:
        # By the system, where memory runs short: the ordinary call says what the kernel does.
        return ""
    if status is None:
        return f"did not end within {SECONDS:g} s"
    if status < 0:
        return f"was ended by signal {-status} ({signal.strsignal(-status)})"
    return f"ended it with status {status}"


def _arguments(call: Call, contents: int) -> list[dict[str, Any]]:
    """The arguments as plain data; what the tensors hold goes to the file `contents`, one after the other."""
    found: list[dict[str, Any]] = []
    at = 0
    for each in call.arguments:
        if isinstance(each, Number):
            found.append({"type": C_TYPES[each.type].__name__, "value": each.of_python})
            continue
        size = None if each.tensor is None else each.extent
        unit = 1 if each.tensor is None else each.tensor.element_size()
        kept = bool(each.read_only and size)
        plain = {"name": each.name, "size": size, "read_only": each.read_only}
        found.append({**plain, "alignment": max(unit, call.alignment), "at": at if kept else None})
        if kept:
            at += _written(contents, each, size or 0)
    return found


def _written(contents: int, memory: Memory, size: int) -> int:
    assert memory.address is not None
    left = memoryview((ctypes.c_char * size).from_address(memory.address)).cast("B")
    while left:
        left = left[os.write(contents, left) :]
    return size


def _touched(call: Call, answer: Mapping[str, Any]) -> Finding:
    """The finding of an address that was touched."""
    done = {True: "writes", False: "reads", None: "reads or writes"}[answer["write"]]
    if "name" not in answer:
        return _said(_nowhere(call, done, answer))
    name, offset, size = answer["name"], answer["offset"], answer["size"]
    memory = next(each for each in call.arguments if isinstance(each, Memory) and each.name == name)
    unit = 1 if memory.tensor is None else memory.tensor.element_size()
    element = offset // unit
    if offset < 0:
        words = f"the kernel {done} memory before {name}: element {element}, counted from its first"
    elif offset >= size:
        words = f"the kernel {done} memory beyond {name}: element {element}, and the last is {size // unit - 1}"
    else:
        words = f"the kernel {done} {name}, an input, at element {element} of its memory"
    return Finding(what="guard", tensor=name, names_tensor=True, words=words)


def _nowhere(call: Call, done: str, answer: Mapping[str, Any]) -> str:
    if answer["code"] == KERNEL_CODE:
        needed = f"a multiple of {call.alignment} bytes" if call.alignment else "aligned to an element alone"
        return (
            "the kernel reads or writes an address that cannot be, or that is aligned to less than its instruction "
            f"needs: every pointer is {needed}, as the signature says in `alignment`"
        )
    if answer["address"] < SMALLEST_ADDRESS:
        return f"the kernel {done} through a null pointer"
    return f"the kernel {done} memory at {answer['address']:#x}, far from all that it is given"


KERNEL_CODE = 128
"""SI_KERNEL: the processor refused the access itself, and gives no address."""


def _said(words: str) -> Finding:
    return Finding(what="guard", words=words)
