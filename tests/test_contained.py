"""What code of others raises, and whether the user interrupted it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from pytest_attn.contained import Contained, ContainedError, said


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("end")])
def test_what_would_end_the_process_leaves_as_an_exception(raised: BaseException) -> None:
    with pytest.raises(ContainedError) as found, Contained():
        raise raised
    assert found.value.__cause__ is raised


def test_an_exception_leaves_as_it_is() -> None:
    with pytest.raises(ValueError, match=r"^no room$"), Contained():
        raise ValueError("no room")


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A process that was started in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_by_the_user_leaves_as_one() -> None:
    with pytest.raises(KeyboardInterrupt), Contained():
        os.kill(os.getpid(), signal.SIGINT)


def test_code_that_swallows_an_interrupt_by_the_user_does_not_keep_it() -> None:
    with pytest.raises(KeyboardInterrupt), Contained(), contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handler_of_interrupts_is_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Contained():
        pass
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (RuntimeError("no\nroom"), "RuntimeError: no room"),
        (RuntimeError(), "RuntimeError"),
        (UnspeakableError(), "UnspeakableError: (its message cannot be shown)"),
        (ValueError("x" * 10000), f"ValueError: {'x' * 300}..."),
    ],
)
def test_an_exception_is_one_line_of_bounded_length(error: BaseException, words: str) -> None:
    assert said(error) == words
