"""Code of others, contained: whatever it raises is a failure of that code, and not the end of this process."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

LONGEST = 300
"""Characters of an exception's message that a sentence shows."""


class ContainedError(Exception):
    """Code of others raised what is no `Exception`, such as SystemExit or a KeyboardInterrupt of its own; that is its
    cause."""


class Contained:
    """A context in which code of others runs. Whatever it raises leaves as an `Exception`: what would end the process,
    such as SystemExit, is the cause of a `ContainedError`.

    An interrupt by the user (SIGINT) leaves as KeyboardInterrupt, even where the code swallowed it.
    """

    def __init__(self) -> None:
        self._interrupted = False
        self._before: Any = None

    def __enter__(self) -> Contained:
        before = signal.getsignal(signal.SIGINT)
        # Python calls handlers in the main thread alone, and lets nobody else set one.
        if callable(before) and threading.current_thread() is threading.main_thread():
            self._before = before
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._before)
        if self._interrupted:
            if isinstance(error, KeyboardInterrupt):
                return
            raise KeyboardInterrupt from error
        if error is not None and not isinstance(error, Exception):
            raise ContainedError(said(error)) from error

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        self._before(number, frame)


def original(error: BaseException) -> BaseException:
    """What code of others raised itself."""
    return error.__cause__ if isinstance(error, ContainedError) and error.__cause__ is not None else error


def message(error: BaseException) -> str:
    """The message of an exception in one line of bounded length; one that has none to give says so."""
    try:
        text = " ".join(str(error).split())
    except BaseException:
        return "(its message cannot be shown)"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def said(error: BaseException) -> str:
    """Type and message of what code of others raised, in one line."""
    found = original(error)
    text = message(found)
    return f"{type(found).__name__}: {text}" if text else type(found).__name__
