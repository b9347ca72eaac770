"""A Python process of its own that answers questions one after another, and that nothing it does can silence."""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

PROGRAM = f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
"""Runs this file alone: in a process that imported pytest_attn before, pytest could not rewrite its assertions."""

PRINTED_BYTES = 65536
"""So much of the end of what a process prints is kept."""

PIPE_BYTES = 2**20
"""More than a pipe holds: one read takes all there is."""

PARTING_SECONDS = 5.0
"""Time that a process has to end by itself once nobody asks any more, as what it loaded may clean up."""

LOOK_SECONDS = 0.5
"""How often a process is looked at whose end its answers do not show, as something it started holds them open."""


class ChildError(RuntimeError):
    """A question without an answer; its text is one sentence that says why."""


class Child:
    """A process that calls functions by their names, each on a question of its own; it ends with this object.

    Questions go to its standard input, answers come on a pipe of their own, a line of JSON each: a function may print.
    What it prints is dropped, or its end kept where `captured`. `environment` is added to that of this process, whose
    import path it has too; it runs in `directory`, by default this process's. It leads a session of its own: whatever
    it started ends with it, and it with this process, however that ends.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str] = MappingProxyType({}),
        directory: Path | None = None,
        captured: bool = False,
    ) -> None:
        reading, writing = os.pipe()
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if captured else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if captured else subprocess.DEVNULL,
            pass_fds=[writing],
            env={**os.environ, "PYTHONPATH": path, **environment},
            cwd=directory,
            start_new_session=True,
        )
        os.close(writing)
        self._answers = reading
        self._unread = b""
        self._printed = b""
        self._end = weakref.finalize(self, _end, self._process, reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        if self._end.alive and self._process.poll() is not None:
            self.close()
        return self._end.alive

    @property
    def printed(self) -> str:
        """The end of what it printed on both streams; empty where that is not captured."""
        self._hear(0.0)
        return self._printed.decode(errors="replace")

    def ask(self, call: str, arguments: Mapping[str, Any], *, seconds: float | None = None) -> Any:
        """What the function `call`, "package.module:function", returns for the keywords `arguments`; both are JSON.

        Raises ChildError where the function raised. Raises it and ends the process where that took more than `seconds`,
        died, or answered what is no answer.
        """
        try:
            answer = self._answer(call, arguments, seconds)
        except BaseException:
            _kill(self._process)
            self.close()
            raise
        if "error" in answer:
            raise ChildError(f"{call}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """End it: at once where it answers, else by force."""
        self._hear(0.0)
        self._end()

    def _answer(self, call: str, arguments: Mapping[str, Any], seconds: float | None) -> dict[str, Any]:
        question = json.dumps({"call": call, "arguments": dict(arguments)})
        if not self.alive:
            raise ChildError(f"{call}: the process has ended")
        self._hear(0.0)
        if self._unread:
            raise ChildError(f"{call}: the process answered {_shown(self._unread)} before it was asked")
        until = None if seconds is None else time.monotonic() + seconds
        assert self._process.stdin is not None
        # A process that is gone is found when its answer is read.
        with suppress(BrokenPipeError):
            self._process.stdin.write(question.encode() + b"\n")
            self._process.stdin.flush()
        while not self._unread.endswith(b"\n"):
            left = LOOK_SECONDS if until is None else min(LOOK_SECONDS, until - time.monotonic())
            if left <= 0:
                raise ChildError(f"{call}: no answer within {seconds:g} s")
            # What a process wrote before it ended is there when its end is seen.
            ended = self._process.poll() is not None
            open_still = self._hear(left)
            if not self._unread.endswith(b"\n") and (ended or not open_still):
                raise ChildError(f"{call}: {_ending(self._process)} before it answered")
        line, self._unread = self._unread, b""
        return _parsed(call, line)

    def _hear(self, seconds: float) -> bool:
        """Take what it answered and printed, waiting for as long as `seconds`; whether more answers may come."""
        if not self._end.alive:
            return False
        out = self._process.stdout.fileno() if self._process.stdout else None
        ready = wait([self._answers] if out is None else [self._answers, out], seconds)
        if out is not None and out in ready:
            self._printed = (self._printed + os.read(out, PIPE_BYTES))[-PRINTED_BYTES:]
        if self._answers not in ready:
            return True
        heard = os.read(self._answers, PIPE_BYTES)
        self._unread += heard
        return bool(heard)


def _end(process: subprocess.Popen[bytes], answers: int) -> None:
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(PARTING_SECONDS)
    _kill(process)
    process.wait()
    os.close(answers)
    if process.stdout:
        process.stdout.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _ending(process: subprocess.Popen[bytes]) -> str:
    try:
        status = process.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return "the process closed its answers"
    if status < 0:
        return f"the process was ended by signal {-status} ({signal.strsignal(-status)})"
    return f"the process ended with status {status}"


def _parsed(call: str, line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or [*answer] not in (["value"], ["error"]):
        raise ChildError(f"{call}: the process answered {_shown(line)}, which is neither a value nor an error")
    return answer


def _shown(line: bytes) -> str:
    return repr(line[:80].decode(errors="replace"))


def answer_questions(answers: int) -> None:
    """What the process does: one answer on the pipe `answers` for every question on standard input, until that ends."""
    os.set_inheritable(answers, False)
    # A function may read its input, and finds none.
    asked = os.fdopen(os.dup(0), encoding="utf-8")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    questions: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()

    def listen() -> None:
        for line in asked:
            busy.set()
            questions.put(line)
        if busy.is_set():
            # Nobody is left to answer to, and what a function is at may take forever.
            os.killpg(os.getpgrp(), signal.SIGKILL)
        questions.put(None)

    threading.Thread(target=listen, daemon=True).start()
    with os.fdopen(answers, "w", encoding="utf-8") as pipe:
        while question := questions.get():
            answer = _answered(json.loads(question))
            busy.clear()
            pipe.write(answer + "\n")
            pipe.flush()


def _answered(question: dict[str, Any]) -> str:
    try:
        module, _, name = question["call"].partition(":")
        value = getattr(importlib.import_module(module), name)(**question["arguments"])
        answer = json.dumps({"value": value})
    except BaseException as error:
        answer = json.dumps({"error": " ".join(f"{type(error).__name__}: {error}".split())})
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    return answer


if __name__ == "__main__":
    answer_questions(int(sys.argv[1]))
