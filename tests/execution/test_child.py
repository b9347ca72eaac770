"""A process that answers questions: each way in which an answer may not come is said, none is waited for forever."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_attn.execution.isolation.child import PRINTED_BYTES, Child, ChildError

CALLS = """
import atexit, ctypes, fcntl, os, pathlib, signal, subprocess, sys, threading, time

def add(one, two):
    return one + two

def imported(package):
    return [name for name in sys.modules if name.partition(".")[0] == package]

def surroundings(name):
    return [os.environ.get(name), os.getcwd()]

def talk(text):
    print(text)
    sys.stderr.write("and more\\n")

def listen():
    return sys.stdin.read() + str(os.read(0, 10))

def refuse():
    raise ValueError("no\\nworkspace")

def leave(status):
    raise SystemExit(status)

def drop(status):
    os._exit(status)

def die():
    os.kill(os.getpid(), signal.SIGSEGV)

def unspeakable():
    return object()

def write_answer(text):
    written = [number for number in map(int, os.listdir("/proc/self/fd")) if number > 2 and writable(number)]
    os.write(written[0], text.encode())

def write_later(text):
    threading.Timer(0.2, write_answer, [text]).start()

def writable(number):
    try:
        return os.write(number, b"") == 0 and "pipe" in os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return False

def hold(file):
    held = open(file, "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    held.write("held")
    held.flush()
    time.sleep(60)

def hold_the_interpreter():
    ctypes.PyDLL(None).sleep(60)

def clean_up(file):
    atexit.register(pathlib.Path(file).write_text, "cleaned")

def stay(seconds):
    atexit.register(time.sleep, seconds)

def leave_behind(file):
    subprocess.Popen([sys.executable, "-c", f"import calls; calls.hold({file!r})"])
    while not os.path.exists(file) or not os.path.getsize(file):
        time.sleep(0.01)
"""

PARENT = """
import signal, sys
from pytest_attn.execution.isolation.child import Child

# Who starts tests in the background of a shell has them ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
Child().ask("calls:hold", {"file": sys.argv[1]})
"""


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module `calls`, which a child finds as this process would."""
    (tmp_path / "calls.py").write_text(CALLS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def child() -> Iterator[Child]:
    with Child(captured=True) as opened:
        yield opened


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A file that a call locks for as long as its process lives."""
    return tmp_path / "held"


def within_seconds(so: Callable[[], object]) -> bool:
    """Whether something comes true while one may wait for it."""
    until = time.monotonic() + 20
    while not so():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def is_held(file: Path) -> bool:
    """Whether a process that locked it has got so far."""
    return file.exists() and file.read_text() == "held"


def is_free(file: Path) -> bool:
    """Whether no process holds it any more, after one did."""
    assert is_held(file)
    with open(file) as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_questions_are_answered_one_after_another_by_one_process(child: Child) -> None:
    assert [child.ask("calls:add", {"one": 1, "two": two}) for two in (2, 3)] == [3, 4]
    assert child.ask("os:getpid", {}) == child.ask("os:getpid", {}) != os.getpid()


def test_a_question_longer_than_a_pipe_is_answered_in_full(child: Child) -> None:
    assert child.ask("calls:add", {"one": "x" * 300_000, "two": "y"}) == "x" * 300_000 + "y"


def test_it_runs_with_the_environment_and_in_the_directory_that_are_given(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with Child(environment={"GIVEN": "given"}, directory=tmp_path / "here") as child:
        assert child.ask("calls:surroundings", {"name": "GIVEN"}) == ["given", str(tmp_path / "here")]


def test_it_imports_nothing_of_the_package_before_it_is_asked(child: Child) -> None:
    assert child.ask("calls:imported", {"package": "pytest_attn"}) == []


def test_what_a_call_prints_is_kept_and_is_no_answer(child: Child) -> None:
    assert child.ask("calls:talk", {"text": '{"value": 1}'}) is None
    assert sorted(child.printed.splitlines()) == ["and more", '{"value": 1}']


def test_only_the_end_of_what_it_prints_is_kept(child: Child) -> None:
    child.ask("calls:talk", {"text": "x" * 1_000_000 + "end"})
    assert len(child.printed) == PRINTED_BYTES
    assert "xend\n" in child.printed


def test_what_it_printed_can_be_read_after_its_end(child: Child) -> None:
    child.ask("calls:talk", {"text": "words"})
    child.close()
    assert "words" in child.printed


def test_a_call_that_reads_its_input_finds_none(child: Child) -> None:
    assert child.ask("calls:listen", {}, seconds=20) == "b''"


def test_a_call_that_raises_is_told_in_one_line_and_the_next_is_answered(child: Child) -> None:
    with pytest.raises(ChildError, match=r"^calls:refuse: ValueError: no workspace$"):
        child.ask("calls:refuse", {})
    assert child.ask("calls:add", {"one": 1, "two": 2}) == 3


@pytest.mark.parametrize(
    ("call", "arguments", "says"),
    [
        ("calls:nothing", {}, "AttributeError: module 'calls' has no attribute 'nothing'"),
        ("nowhere:nothing", {}, "ModuleNotFoundError: No module named 'nowhere'"),
        ("calls:add", {"one": 1}, "TypeError: add() missing 1 required positional argument: 'two'"),
        ("calls:leave", {"status": 0}, "SystemExit: 0"),
        ("calls:unspeakable", {}, "TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_a_call_that_cannot_be_answered_says_why(
    child: Child, call: str, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(ChildError) as refused:
        child.ask(call, arguments)
    assert str(refused.value) == f"{call}: {says}"
    assert child.alive


@pytest.mark.parametrize(
    ("call", "arguments", "says"),
    [
        ("calls:drop", {"status": 0}, "the process ended with status 0 before it answered"),
        ("calls:drop", {"status": 3}, "the process ended with status 3 before it answered"),
        ("calls:die", {}, "the process was ended by signal 11 (Segmentation fault) before it answered"),
    ],
)
def test_a_process_that_ends_inside_a_call_is_an_error(
    child: Child, call: str, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(ChildError) as lost:
        child.ask(call, arguments)
    assert str(lost.value) == f"{call}: {says}"
    assert not child.alive


def test_a_process_that_ended_cannot_be_asked_again(child: Child) -> None:
    child.close()
    with pytest.raises(ChildError, match=r"^calls:add: the process has ended$"):
        child.ask("calls:add", {"one": 1, "two": 2})


def test_a_call_that_hangs_is_ended_at_its_limit(child: Child, held: Path) -> None:
    child.ask("calls:add", {"one": 1, "two": 2})
    with pytest.raises(ChildError, match=r"^calls:hold: no answer within 1 s$"):
        child.ask("calls:hold", {"file": str(held)}, seconds=1)
    assert not child.alive
    assert is_free(held)


@pytest.mark.parametrize("text", ["words\n", "[1]\n", '{"value": 1, "error": "both"}\n', "half a line"])
def test_what_is_no_answer_is_an_error(child: Child, text: str) -> None:
    with pytest.raises(ChildError) as lost:
        child.ask("calls:write_answer", {"text": text})
    assert str(lost.value).startswith(f"calls:write_answer: the process answered {text!r}"[:-1])
    assert str(lost.value).endswith(", which is neither a value nor an error")
    assert not child.alive


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one(child: Child) -> None:
    child.ask("calls:write_later", {"text": '{"value": 1}\n'})
    time.sleep(0.5)
    with pytest.raises(ChildError, match="before it was asked"):
        child.ask("calls:add", {"one": 1, "two": 2})
    assert not child.alive


def test_a_call_that_hangs_outside_of_python_is_ended_at_its_limit(child: Child) -> None:
    child.ask("calls:add", {"one": 1, "two": 2})
    began = time.monotonic()
    with pytest.raises(ChildError, match=r"no answer within 0.1 s"):
        child.ask("calls:hold_the_interpreter", {}, seconds=0.1)
    assert time.monotonic() - began < 4


def test_a_process_that_is_closed_cleans_up(child: Child, tmp_path: Path) -> None:
    child.ask("calls:clean_up", {"file": str(tmp_path / "cleaned")})
    child.close()
    assert (tmp_path / "cleaned").exists()


def test_a_process_that_does_not_end_by_itself_is_ended(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_attn.execution.isolation.child.PARTING_SECONDS", 0.2)
    child.ask("calls:stay", {"seconds": 60})
    began = time.monotonic()
    child.close()
    assert time.monotonic() - began < 20


def test_a_caller_that_is_interrupted_ends_the_process(child: Child, held: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupt_once_held() -> None:
        within_seconds(lambda: is_held(held))
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        threading.Thread(target=interrupt_once_held).start()
        with pytest.raises(KeyboardInterrupt):
            child.ask("calls:hold", {"file": str(held)})
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not child.alive
    assert is_free(held)


def test_what_a_call_started_ends_with_the_process(child: Child, held: Path) -> None:
    child.ask("calls:leave_behind", {"file": str(held)})
    assert not is_free(held)
    child.close()
    assert within_seconds(lambda: is_free(held))


def test_a_process_that_nothing_refers_to_any_more_ends(held: Path) -> None:
    child = Child()
    child.ask("calls:leave_behind", {"file": str(held)})
    del child
    assert within_seconds(lambda: is_free(held))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_parent_that_is_interrupted_leaves_no_child(held: Path, name: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(held)], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert within_seconds(lambda: is_held(held))
    parent.send_signal(signal.Signals[name])
    assert parent.wait(20) != 0
    assert within_seconds(lambda: is_free(held))
