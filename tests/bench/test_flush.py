"""Emptying the caches."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.bench import flush
from pytest_attn.bench.flush import UNKNOWN_CACHE_BYTES, cache_bytes, flush_of

CPU = torch.device("cpu")


@pytest.fixture
def caches(monkeypatch, tmp_path):
    """Makes Linux say these sizes."""

    def say(*sizes):
        for number, size in enumerate(sizes):
            (tmp_path / f"index{number}").mkdir()
            (tmp_path / f"index{number}" / "size").write_text(size + "\n")
        monkeypatch.setattr(flush, "CPU_CACHES", tmp_path)

    return say


def test_the_largest_cache_is_the_last_level(caches):
    caches("32K", "1024K", "36M")
    assert cache_bytes(CPU) == 36 * 2**20


def test_a_cpu_that_does_not_say_is_taken_to_have_a_large_one(caches):
    caches()
    assert cache_bytes(CPU) == UNKNOWN_CACHE_BYTES


def test_a_flush_writes_twice_the_cache(caches):
    caches("64K")
    written = flush_of(CPU)()
    assert written.nbytes == 2 * 64 * 2**10
    assert written.min() == 1
