"""What a native kernel touches beyond its tensors is red, named, and ends no process of ours."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from native_bugs import NEEDS_GNU, SIGNATURE, SMALL, SOURCE, planted, verdict_on

from pytest_attn.checks import guard_pages
from pytest_attn.execution.session import Session
from pytest_attn.kernels.native import Build, Compiler, Signature, native_kernel
from pytest_attn.options.options import Options

pytestmark = [NEEDS_GNU, pytest.mark.skipif(sys.platform != "linux", reason="not here: pages are guarded on Linux")]

KEYS = 2 * 13 * 5


NAMED = {
    "READ_PAST_KEY": ("key", f"beyond key: element {KEYS}, and the last is {KEYS - 1}"),
    "READ_BEFORE_VALUE": ("value", "before value: element -1, counted from its first"),
    "WRITE_BEFORE_OUT": ("out", "before out: element -1, counted from its first"),
    "WRITE_PAST_LSE": ("lse", "beyond lse: element 14, and the last is 13"),
    "WRITE_INTO_QUERY": ("query", "query, an input, at element 1 of its memory"),
    "READ_PAST_WORKSPACE": ("workspace", "beyond workspace: element 182, and the last is 181"),
    "READ_PAST_KEY_IN_A_THREAD": ("key", f"beyond key: element {KEYS + 100}, and the last is {KEYS - 1}"),
}


@pytest.mark.parametrize("bug", NAMED)
def test_the_tensor_and_its_side_are_named(bug: str, tmp_path: Path) -> None:
    verdict = verdict_on(planted(bug, tmp_path))
    (finding,) = verdict.findings
    tensor, words = NAMED[bug]
    assert (finding.what, finding.tensor) == ("guard", tensor)
    assert finding.phrase.endswith(words)
    if platform.machine() == "x86_64":  # elsewhere an address comes without it
        assert finding.phrase.startswith(f"the kernel {bug.partition('_')[0].lower()}s ")


def test_no_room_for_copies_is_no_fault_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_pages, "MOST_BYTES", 0)
    assert verdict_on(planted("READ_PAST_WORKSPACE", tmp_path)).passed


def test_the_same_kernel_without_a_bug_is_right(tmp_path: Path) -> None:
    assert verdict_on(planted("NO_BUG", tmp_path)).passed


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        ("NULL_POINTER", "the kernel reads"),
        ("ABORT", "the kernel, run in a process of its own, was ended by signal 6 (Aborted)"),
        ("EXIT", "the kernel, run in a process of its own, ended it with status 0"),
        ("FAR_AWAY", "the kernel reads"),
    ],
)
def test_a_kernel_that_would_end_the_process_is_red(bug: str, words: str, tmp_path: Path) -> None:
    (finding,) = verdict_on(planted(bug, tmp_path)).findings
    assert finding.what == "guard"
    assert finding.words.startswith(words)


def test_a_red_cell_is_recorded_with_its_diagnosis_sought(tmp_path: Path) -> None:
    record = Session(Options()).cell(planted("READ_PAST_KEY", tmp_path), SMALL).record()
    assert record.outcome == "failed"


def test_a_status_that_is_not_0_is_what_the_kernel_raised(tmp_path: Path) -> None:
    (finding,) = verdict_on(planted("STATUS", tmp_path)).findings
    assert finding.words.startswith("the kernel raised RuntimeError: attend returned the status 7")


def test_a_kernel_that_does_not_end_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_pages, "SECONDS", 1.0)
    (finding,) = verdict_on(planted("HANG", tmp_path)).findings
    assert finding.words == "the kernel, run in a process of its own, did not end within 1 s"


def test_pointers_are_aligned_to_what_the_signature_says(tmp_path: Path) -> None:
    aligned = replace(SIGNATURE, alignment=64)
    assert verdict_on(planted("NEEDS_ALIGNMENT", tmp_path, aligned)).passed
    (finding,) = verdict_on(planted("NEEDS_ALIGNMENT", tmp_path)).findings
    assert "ended" in finding.words or "aligned" in finding.words


def test_a_write_between_an_aligned_tensor_and_its_page_is_found(tmp_path: Path) -> None:
    (finding,) = verdict_on(planted("WRITE_PAST_LSE", tmp_path, replace(SIGNATURE, alignment=64))).findings
    assert finding.phrase.endswith("beyond lse: element 14, and the last is 13")


def test_a_function_that_the_library_lacks_is_named(tmp_path: Path) -> None:
    other = Signature("attent", SIGNATURE.arguments)
    (finding,) = verdict_on(planted("NO_BUG", tmp_path, other)).findings
    assert "has no function 'attent'; in C++ it is declared extern \"C\"" in finding.words


@pytest.mark.slow
def test_a_library_that_needs_what_torch_loads_is_guarded_too(tmp_path: Path) -> None:
    folder = Path(torch.__file__).parent / "lib"
    flags = ("-O1", "-DREAD_PAST_KEY", f"-L{folder}", "-Wl,--no-as-needed", "-lc10")
    build = Build(SOURCE, Compiler.gnu(*flags), folder=tmp_path)
    (finding,) = verdict_on(native_kernel(build, SIGNATURE, lse=True, dtypes=("float32",))).findings
    assert finding.tensor == "key"
