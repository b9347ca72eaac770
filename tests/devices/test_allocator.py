"""A process that measures keeps what its kernels free, and one that looks for peak memory does not."""

from __future__ import annotations

import platform
import resource

import numpy as np
import pytest

from pytest_attn.devices.allocator import COLD, WARM, is_warm, warmed
from pytest_attn.execution.isolation.child import Child

CALLS = 20
FLOATS = 2**19
PAGES = 4 * FLOATS // 4096

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not here: glibc")


def pages_of_a_call() -> float:
    """Pages that this process is given anew for 2 MiB that it fills and frees, on average."""
    for _ in range(3):
        np.full(FLOATS, 1.0, dtype=np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(CALLS):
        np.full(FLOATS, 1.0, dtype=np.float32)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / CALLS


def pages(environment: dict[str, str]) -> float:
    with Child(environment=environment) as child:
        found: float = child.ask(f"{__name__}:{pages_of_a_call.__name__}", {})
        return found


def test_a_warm_process_is_given_no_page_anew() -> None:
    assert pages(dict(WARM)) < 0.01 * PAGES


def test_a_process_that_looks_for_peak_memory_gives_pages_back_though_its_parent_is_warm() -> None:
    assert pages({**WARM, **COLD}) > 0.5 * PAGES


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WARM:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    assert warmed() == {"MALLOC_MMAP_MAX_": "0"}


@pytest.mark.parametrize(("value", "warm"), [("0", True), ("7", False)])
def test_a_process_knows_whether_it_is_warm(monkeypatch: pytest.MonkeyPatch, value: str, warm: bool) -> None:
    for name in WARM:
        monkeypatch.setenv(name, WARM[name])
    monkeypatch.setenv("MALLOC_MMAP_MAX_", value)
    assert is_warm() == warm
